//! The agent. See the library for what it does.

use clap::Parser;
use multicluster_agent::{cli::Args, run::run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(Args::parse()).await
}
