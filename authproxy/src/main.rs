//! The binary: see the library.

use clap::Parser;
use multicluster_authproxy::{args::Args, run::start};

fn main() -> anyhow::Result<()> {
    start(Args::parse())
}
