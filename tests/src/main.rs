//! The testbed's command line.

use std::process::ExitCode;

use clap::Parser;
use testbed::{Binaries, demo, manifests, real};

/// Real Kubernetes control planes on one machine, as plain processes.
#[derive(Parser)]
enum Command {
    /// Build all programs of the testbed into the cache, and print their folders.
    Build,
    /// Render what is generated from the chart: overlays, monitoring, the page about its values.
    Manifests {
        /// Write nothing: fail if something is not as it would be rendered.
        #[arg(long)]
        check: bool,
    },
    /// Show the product at work in three clusters, and check all that is shown.
    Demo,
    /// Start the demo's clusters in the background.
    Up,
    /// End what `up` started.
    Down,
    /// The background process of `up`.
    #[command(hide = true)]
    Serve,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Command::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("\nerror: {}", causes.join("\n  because: "));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build => {
            let mut binaries = Binaries::ensure().await?.with_dns().await?;
            match real::missing() {
                None => binaries = binaries.with_nodes().await?,
                Some(reason) => eprintln!("testbed: not built are the programs of real nodes: {reason}"),
            }
            let binaries = binaries.with_helm().await?.with_metrics_server().await?;
            println!("{binaries}");
        }
        Command::Manifests { check } => manifests::generate(check).await?,
        Command::Demo => demo::run().await?,
        Command::Up => demo::up().await?,
        Command::Down => demo::down().await?,
        Command::Serve => demo::serve().await?,
    }
    Ok(())
}
