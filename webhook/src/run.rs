//! Joins the parts: flags, certificates, server, admin port.

use std::time::Duration;

use anyhow::Context;
use multicluster_certs::{Limits, RELOAD_INTERVAL, ServingTls, serve};
use multicluster_runtime::admin::{self, Readiness};
use multicluster_runtime::shutdown;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::metrics::Metrics;
use crate::server::router;

/// Serve until a signal says stop.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let (signal, stop) = (shutdown::token()?, CancellationToken::new());
    let tls = ServingTls::start(&args.serving, RELOAD_INTERVAL, stop.clone())?;
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    tls.metrics().register(&mut registry);

    let listener = TcpListener::bind(args.listen_addr)
        .await
        .with_context(|| format!("--listen-addr {}", args.listen_addr))?;
    let readiness = Readiness::default();
    admin::serve(&args.admin, registry, readiness.clone(), stop.clone()).await?;
    tracing::info!(address = %args.listen_addr, "serving");

    let (delay, stopping) = (Duration::from_secs(args.shutdown_delay_seconds), stop.clone());
    tokio::spawn(async move {
        signal.cancelled().await;
        // While endpoints are being taken out of the Service, the API server still calls here: with
        // failurePolicy: Fail, a call that is not answered is a pod that is not created.
        readiness.set("stopping", false);
        tokio::time::sleep(delay).await;
        stopping.cancel();
    });
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
