//! The binary: see the library.

use clap::Parser;
use multicluster_extender::{args::Args, run::run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(Args::parse()).await
}
