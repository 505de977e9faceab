//! The soak's command line.

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    testbed::soak::run(testbed::soak::Args::parse()).await
}
