//! Joins the parts: flags, certificates, server, admin port.

use std::time::Duration;

use anyhow::Context;
use multicluster_certs::{Limits, RELOAD_INTERVAL, ServingTls, serve};
use multicluster_runtime::admin::{self, Liveness, Readiness};
use multicluster_runtime::shutdown;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::args::Args;
use crate::metrics::Metrics;
use crate::server::router;

/// Part of the readiness: the certificate can be shown.
const CERTIFICATE: &str = "certificate";

/// The whole process: [`run`], on as many threads as the arguments say.
pub fn start(args: Args) -> anyhow::Result<()> {
    args.log.init()?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.worker_threads.get())
        .enable_all()
        .build()?
        .block_on(run(args))
}

/// Serve until a signal says stop.
pub async fn run(args: Args) -> anyhow::Result<()> {
    args.trace.init("multicluster-webhook")?;
    let readiness = Readiness::default();
    let delay = Duration::from_secs(args.shutdown_delay_seconds);
    // With failurePolicy: Fail, a call that is not answered is a pod that is not created.
    let stop = shutdown::withdraw(shutdown::token()?, readiness.clone(), delay);
    let tls = ServingTls::start(&args.serving, RELOAD_INTERVAL, stop.clone())?;
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    tls.metrics().register(&mut registry);

    let listener = TcpListener::bind(args.listen_addr)
        .await
        .with_context(|| format!("--listen-addr {}", args.listen_addr))?;
    let valid = tls.clone();
    readiness.add(CERTIFICATE, move || valid.check_expiry());
    admin::serve(&args.admin, registry, readiness, Liveness::default(), stop.clone()).await?;
    tracing::info!(address = %args.listen_addr, "serving");

    serve(
        listener,
        tls,
        router(args.proxy_config(), metrics),
        Limits::default(),
        stop,
    )
    .await;
    Ok(())
}
