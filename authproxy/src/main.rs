//! The binary: see the library.

use clap::Parser;
use multicluster_authproxy::{args::Args, run::run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(Args::parse()).await
}
