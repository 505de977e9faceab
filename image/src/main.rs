//! All components as one program. They have most of their code in common, so together they take half the room, and a node
//! that runs several of them pulls one layer. Each image starts one of them: see the Dockerfile.

use clap::Parser;

/// Runs one component of multicluster-scheduler
#[derive(Parser, Debug)]
#[command(name = "multicluster-scheduler", version)]
enum Component {
    Webhook(multicluster_webhook::args::Args),
    Extender(multicluster_extender::args::Args),
    Agent(multicluster_agent::cli::Args),
    Authproxy(multicluster_authproxy::args::Args),
}

fn main() -> anyhow::Result<()> {
    match Component::parse() {
        Component::Webhook(args) => multicluster_webhook::run::start(args),
        Component::Extender(args) => multicluster_extender::run::start(args),
        Component::Agent(args) => multicluster_agent::run::start(args),
        Component::Authproxy(args) => multicluster_authproxy::run::start(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Component::command().debug_assert();
    }
}
