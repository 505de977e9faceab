//! The admission webhook.

use clap::Parser;
use multicluster_webhook::{args::Args, run::start};

fn main() -> anyhow::Result<()> {
    start(Args::parse())
}
