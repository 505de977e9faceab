//! The agent. See the library for what it does.

use clap::Parser;
use multicluster_agent::{cli::Args, run::start};

fn main() -> anyhow::Result<()> {
    start(Args::parse())
}
