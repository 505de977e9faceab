//! The agent. See the library for what it does.

use clap::Parser;
use multicluster_agent::cli::{Args, Command};
use multicluster_agent::{run, uninstall};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    match args.command.take() {
        Some(Command::Uninstall(args)) => uninstall::command::run(args).await,
        None => run::run(args).await,
    }
}
