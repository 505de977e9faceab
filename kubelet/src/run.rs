//! Puts the parts together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use multicluster_certs::{Limits, ServingTls};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::certificate::Key;
use crate::client_ca::ClientCa;
use crate::flight::Flights;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::request::{Requester, Tell, Wish};
use crate::reviews::ApiReviews;
use crate::server::{Kubelet, Parts};

/// Most streams at a time.
const STREAMS: usize = 1000;
/// Pause before another attempt to listen.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);
/// How often it is looked whether the last stream has ended.
const LOOK: Duration = Duration::from_millis(50);

/// What the kubelet API is served with.
pub struct Options {
    /// Where to listen.
    pub bind: SocketAddr,
    /// The serving certificate.
    pub wish: Wish,
    /// How long streams may go on when it is over.
    pub grace: Duration,
}

/// Serve the kubelet API until `stop`, and for its streams a grace longer. `client` is for the cluster whose virtual nodes these
/// are.
pub async fn serve<N: Nodes>(
    options: Options,
    nodes: Arc<N>,
    client: Client,
    tell: Arc<dyn Tell>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let Some(listener) = stop.run_until_cancelled(listen(options.bind)).await else {
        return;
    };
    let tls = match first_certificate(&options.wish) {
        Ok(tls) => tls,
        Err(error) => {
            tracing::error!(error, "the virtual nodes' kubelet API cannot be served");
            return stop.cancelled().await;
        }
    };
    let (over, client_ca) = (CancellationToken::new(), ClientCa::default());
    let flights = Flights::new(STREAMS, over.clone(), metrics.clone());
    let requester = Requester::new(client.clone(), options.wish, tls.clone(), tell, metrics.clone());
    let parts = Parts {
        nodes,
        gate: Gate::new(client_ca.clone(), ApiReviews::new(client.clone())),
        flights: flights.clone(),
        metrics: metrics.clone(),
    };
    let limits = Limits {
        grace: options.grace,
        // A command may be long.
        http2_header: 64 << 10,
        unread: 64 << 10,
        keepalive: Some(Duration::from_secs(30)),
        ..Limits::default()
    };
    tracing::info!(addr = %options.bind, "serving the virtual nodes' kubelet API");
    let served = async {
        let end = async {
            stop.cancelled().await;
            let end = Instant::now() + options.grace;
            while flights.open() > 0 && Instant::now() < end {
                sleep(LOOK).await;
            }
            over.cancel();
        };
        let server = multicluster_certs::serve(listener, tls, Kubelet::new(parts), limits, stop.clone());
        tokio::join!(server, end);
    };
    tokio::select! {
        () = served => {}
        () = client_ca.follow(client) => {}
        () = requester.run() => {}
    }
    metrics.certificate_expiry.set(0);
}

/// The port may still be taken by the one who led before.
async fn listen(addr: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(addr).await {
            Ok(listener) => return listener,
            Err(error) => tracing::error!(%addr, %error, "listening for the virtual nodes' kubelet API"),
        }
        sleep(LISTEN_AGAIN).await;
    }
}

/// Something to serve until a certificate was issued.
fn first_certificate(wish: &Wish) -> Result<ServingTls, String> {
    let key = Key::generate(wish.address, &wish.names).map_err(|error| error.to_string())?;
    let certificate = key.self_signed().map_err(|error| error.to_string())?;
    ServingTls::in_memory(&certificate, &key.pem()).map_err(|error| error.to_string())
}
