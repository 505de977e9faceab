//! The testbed's command line.

use clap::Parser;

/// Real Kubernetes control planes on one machine, as plain processes.
#[derive(Parser)]
enum Command {
    /// Build the programs that the testbed needs into the cache, and print their folders.
    Build,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Build => println!("{}", testbed::Binaries::ensure().await?),
    }
    Ok(())
}
