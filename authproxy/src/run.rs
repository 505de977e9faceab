//! Puts the parts together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use multicluster_certs::{ClientCertificates, Limits, RELOAD_INTERVAL, ServingTls};
use multicluster_runtime::admin::{self, Liveness, Readiness};
use multicluster_runtime::{cluster, shutdown};
use multicluster_upstream::Upstream;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::authenticate::Authenticator;
use crate::denials::{Denials, KeyNews};
use crate::events::{Events, Recorded};
use crate::flights::{Cut, Flights};
use crate::jwks;
use crate::keys::Keys;
use crate::knowledge::Knowledge;
use crate::metrics::Metrics;
use crate::past::Past;
use crate::proxy::{Parts, Proxy};
use crate::revoke::Revoker;
use crate::watch;

/// Part of the readiness: the certificate can be shown.
const CERTIFICATE: &str = "certificate";
/// Part of the readiness: it is known whom to trust.
const TRUST: &str = "trust";
/// Part of the readiness: the keys of all issuers have been asked for.
const KEYS: &str = "keys";

/// Changes of trust that nobody has looked at for so long will never be.
const STUCK: Duration = Duration::from_secs(60);

/// The whole process: [`run`], on as many threads as there are cores.
#[tokio::main]
pub async fn start(args: Args) -> anyhow::Result<()> {
    run(args).await
}

/// Serve until SIGTERM; requests in flight may finish for a while.
pub async fn run(args: Args) -> anyhow::Result<()> {
    args.log.init()?;
    open_many_files();
    let (readiness, liveness) = (Readiness::default(), Liveness::default());
    let delay = Duration::from_secs(args.shutdown_delay_seconds);
    let stop = shutdown::withdraw(shutdown::token()?, readiness.clone(), delay);
    let config = args.cluster.config().await?;
    anyhow::ensure!(
        config.proxy_url.is_none(),
        "a kubeconfig with a proxy-url cannot be used here"
    );
    let upstream = Upstream::new(&config)?;
    let client = cluster::client(config)?;
    let events: Arc<dyn Events> = Arc::new(Recorded::new(client.clone()));

    // Until the last request is answered, it must be known whom to trust.
    let watching = CancellationToken::new();
    let _end = watching.clone().drop_guard();
    let knowledge = Arc::new(Knowledge::new(args.stale_after));
    let metrics = Metrics::default();
    let parts = parts(&args, knowledge.clone(), upstream, events, metrics.clone());
    let (flights, keys, over) = (parts.0.flights.clone(), parts.1.keys.clone(), parts.0.over.clone());
    let follower = tokio::spawn(watch::run(client, knowledge.clone(), watching.clone()));
    let pulse = liveness.pulse("revocation", STUCK);
    let revoker = tokio::spawn(parts.1.run(pulse, watching.clone()));

    let tls = ServingTls::start_with(
        &args.serving(),
        ClientCertificates::Judged,
        RELOAD_INTERVAL,
        watching.clone(),
    )?;
    let valid = tls.clone();
    readiness.add(CERTIFICATE, move || valid.check_expiry());
    let known = knowledge.clone();
    readiness.add(TRUST, move || known.check());
    readiness.add(KEYS, move || keys.check());
    let mut registry = Registry::default();
    metrics.register(&mut registry, tls.metrics(), knowledge, flights.clone());
    admin::serve(&args.admin, registry, readiness, liveness, stop.clone()).await?;

    let listener = TcpListener::bind(args.listen_addr)
        .await
        .with_context(|| format!("--listen-addr {}", args.listen_addr))?;
    tracing::info!(addr = %args.listen_addr, "serving");
    let served = multicluster_certs::serve(listener, tls, Proxy::new(parts.0), limits(&args), stop.clone());
    let grace = Duration::from_secs(args.grace_seconds);
    tokio::select! {
        () = finish(served, &flights, grace, stop) => {}
        // Without them nobody would be cut off: better to begin anew.
        ended = follower => anyhow::bail!("trust is not followed any more: {ended:?}"),
        ended = revoker => anyhow::bail!("nobody acts on changes of trust any more: {ended:?}"),
    }
    over.cancel();
    flights.cut(Cut::Shutdown, |_| true);
    Ok(())
}

/// Each watch holds two connections, and the usual limit (1024) is for programs that may still use `select`.
fn open_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, limit = limit.current, "open files");
    }
}

/// Returns when everybody is served, connections that were upgraded among them, or the grace is over.
async fn finish(served: impl Future<Output = ()>, flights: &Flights, grace: Duration, stop: CancellationToken) {
    let end = async {
        stop.cancelled().await;
        Instant::now() + grace
    };
    let ((), end) = tokio::join!(served, end);
    while !flights.counts().is_zero() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The parts that requests go through, and what acts on changes of trust.
pub fn parts(
    args: &Args,
    knowledge: Arc<Knowledge>,
    upstream: Upstream,
    events: Arc<dyn Events>,
    metrics: Metrics,
) -> (Parts, Revoker) {
    let past = Arc::new(Past::default());
    let keys = Arc::new(Keys::new(
        jwks::https(),
        Arc::new(KeyNews(events.clone())),
        metrics.clone(),
    ));
    let denials = Arc::new(Denials::new(events, metrics.clone(), past.clone(), keys.clone()));
    let flights = Flights::new(args.max_in_flight);
    let revoker = Revoker {
        knowledge: knowledge.clone(),
        flights: flights.clone(),
        keys: keys.clone(),
        past,
        denials: denials.clone(),
        metrics: metrics.clone(),
    };
    let parts = Parts {
        knowledge,
        authenticator: Authenticator::new(keys),
        flights,
        upstream,
        denials,
        metrics,
        over: CancellationToken::new(),
    };
    (parts, revoker)
}

/// What one client may take from the others.
pub fn limits(args: &Args) -> Limits {
    Limits {
        connections: args.max_connections,
        grace: Duration::from_secs(args.grace_seconds),
        // A token may have 16 KiB, and a selector be long.
        http2_header: 64 << 10,
        // Hundreds of watches may share a connection, and a client that reads none of them costs so much for each.
        unread: 64 << 10,
        keepalive: Some(Duration::from_secs(30)),
        ..Limits::default()
    }
}
