//! Puts the parts together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use multicluster_certs::{Limits, RELOAD_INTERVAL, ServingTls};
use multicluster_runtime::admin::{self, Liveness, Readiness};
use multicluster_runtime::health::Pulse;
use multicluster_runtime::{cluster, shutdown};
use multicluster_targets::{cluster_name, supervise};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::bind::{Binder, Flights};
use crate::handlers::{Extender, router};
use crate::index::{Index, Wakes};
use crate::metrics::Metrics;
use crate::watch::Watches;
use crate::{namespaces, wake};

/// How often assumed placements are looked over.
const TICK: Duration = Duration::from_secs(1);
/// Part of the readiness: the certificate can be shown.
const CERTIFICATE: &str = "certificate";

/// An index that could not be looked over for so long is locked for ever.
const STUCK: Duration = Duration::from_secs(60);

/// The whole process: [`run`], on as many threads as there are cores.
#[tokio::main]
pub async fn start(args: Args) -> anyhow::Result<()> {
    run(args).await
}

/// Serve until SIGTERM; binds in flight may finish.
pub async fn run(args: Args) -> anyhow::Result<()> {
    args.log.init()?;
    args.trace.init("multicluster-extender")?;
    let readiness = Readiness::default();
    let delay = Duration::from_secs(args.shutdown_delay_seconds);
    let stop = shutdown::withdraw(shutdown::token()?, readiness.clone(), delay);
    let (index, wakes) = Index::new(args.policy());
    let index = Arc::new(index);
    #[cfg(feature = "synthetic")]
    if let Some(targets) = args.synthetic_targets {
        crate::synthetic::fill(&index, targets, args.synthetic_nodes);
        crate::synthetic::keep_fresh(index.clone());
        return serve(&args, index, None, (readiness, Liveness::default()), stop).await;
    }
    let liveness = Liveness::default();
    // Binds in flight wait for what the watches say: at shutdown, the watches go last.
    let watching = CancellationToken::new();
    let _end = watching.clone().drop_guard();
    let binder = connect(&args, index.clone(), wakes, (readiness.clone(), &liveness), watching).await?;
    serve(&args, index, Some(binder), (readiness, liveness), stop).await
}

/// Start everything that talks to clusters.
async fn connect(
    args: &Args,
    index: Arc<Index>,
    wakes: Wakes,
    (readiness, liveness): (Readiness, &Liveness),
    stop: CancellationToken,
) -> anyhow::Result<Binder> {
    let client = args.cluster.client().await?;
    tokio::spawn(cluster::keep_in_touch(client.clone(), readiness.clone(), stop.clone()));
    let cluster = cluster_name(&client, args.cluster_name.as_deref()).await?;
    tracing::info!(cluster, "serving");
    // The webhook's judgement stands before any target's.
    tokio::spawn(namespaces::run(
        client.clone(),
        index.clone(),
        readiness.clone(),
        stop.clone(),
    ));
    let watches = Arc::new(Watches::new(index.clone(), &cluster, readiness));
    tokio::spawn(supervise(client.clone(), watches, stop.clone()));
    tokio::spawn(wake::run(client.clone(), wakes, stop.clone()));
    tokio::spawn(tick(index.clone(), liveness.pulse("index", STUCK), stop));
    Ok(Binder::new(client, index, &cluster, args.limits()))
}

async fn serve(
    args: &Args,
    index: Arc<Index>,
    binder: Option<Binder>,
    (readiness, liveness): (Readiness, Liveness),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let tls = ServingTls::start(&args.tls, RELOAD_INTERVAL, stop.clone())?;
    let flights = binder
        .as_ref()
        .map_or_else(Flights::default, |binder| binder.flights().clone());
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry, Some(tls.metrics()), index.clone(), flights.clone());
    let valid = tls.clone();
    readiness.add(CERTIFICATE, move || valid.check_expiry());
    admin::serve(&args.admin, registry, readiness, liveness, stop.clone()).await?;
    let listener = TcpListener::bind(args.listen_addr)
        .await
        .with_context(|| format!("--listen-addr {}", args.listen_addr))?;
    let router = router(Extender { index, binder, metrics });
    // A bind in flight may take its whole time to answer.
    let limits = Limits {
        grace: args.bind_timeout + Duration::from_secs(1),
        ..Limits::default()
    };
    let end = limits.grace + Duration::from_secs(1);
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(end).await;
    };
    let served = async {
        multicluster_certs::serve(listener, tls, router, limits, stop.clone()).await;
        // Binds whose caller has hung up.
        flights.finish().await;
    };
    tokio::select! {
        () = served => {}
        () = too_long => tracing::warn!(binds = flights.len(), "binds cut off at shutdown; another replica goes on with them"),
    }
    Ok(())
}

async fn tick(index: Arc<Index>, pulse: Pulse, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        index.tick(Instant::now());
        pulse.beat();
    }
}
