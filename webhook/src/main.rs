//! The admission webhook.

use clap::Parser;
use multicluster_webhook::args::Args;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    args.log.init()?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.worker_threads.get())
        .enable_all()
        .build()?
        .block_on(multicluster_webhook::run::run(args))
}
