//! The benchmarks' command line.

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    testbed::bench::run(testbed::bench::Args::parse()).await
}
