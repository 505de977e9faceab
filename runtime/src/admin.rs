//! The admin port: `/metrics`, `/livez`, `/readyz`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use multicluster_certs::{Limits, serve_plain};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Flags of the admin port.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    /// Address of the admin port: /metrics, /livez, /readyz
    #[arg(long, env = "ADMIN_ADDR", default_value = "0.0.0.0:8080")]
    pub admin_addr: SocketAddr,
}

/// What must be true before a component is ready. Each part of it reports under a name of its own.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, bool>>>);

impl Readiness {
    /// Wait for this part as well.
    pub fn expect(&self, part: &'static str) {
        self.set(part, false);
    }

    /// Say whether a part is ready.
    pub fn set(&self, part: &'static str, ready: bool) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(part, ready);
    }

    /// Names of the parts that are not ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts
            .iter()
            .filter_map(|(name, ready)| (!ready).then_some(*name))
            .collect()
    }
}

#[derive(Clone)]
struct Admin {
    registry: Arc<Registry>,
    readiness: Readiness,
}

/// Bind the admin port and serve it until `shutdown`. Returns as soon as the port is bound.
pub async fn serve(
    args: &AdminArgs,
    registry: Registry,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.admin_addr)
        .await
        .with_context(|| format!("--admin-addr {}", args.admin_addr))?;
    let app = router(registry, readiness);
    tokio::spawn(serve_plain(listener, app, limits(), shutdown));
    Ok(())
}

/// The kubelet asks every few seconds, and Prometheus every minute or so. Nobody else should be here.
fn limits() -> Limits {
    Limits {
        connections: 64,
        grace: Duration::from_secs(1),
        ..Limits::default()
    }
}

fn router(registry: Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Admin {
            registry: Arc::new(registry),
            readiness,
        })
}

async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.readiness.missing() {
        missing if missing.is_empty() => "ok".into_response(),
        missing => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {}", missing.join(", ")),
        )
            .into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_probe_is_answered_however_many_say_nothing() {
        let addr = {
            let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
            free.local_addr().unwrap()
        };
        let stop = CancellationToken::new();
        let args = AdminArgs { admin_addr: addr };
        serve(&args, Registry::default(), Readiness::default(), stop.clone())
            .await
            .unwrap();
        let mut silent = Vec::new();
        for _ in 0..limits().connections * 2 {
            silent.push(TcpStream::connect(addr).await.unwrap());
        }
        let begin = std::time::Instant::now();
        let mut probe = TcpStream::connect(addr).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        probe.write_all(request).await.unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        stop.cancel();
    }

    #[test]
    fn readiness_names_what_is_missing() {
        let readiness = Readiness::default();
        readiness.expect("targets");
        readiness.expect("pods");
        assert_eq!(readiness.missing(), ["pods", "targets"]);
        readiness.set("pods", true);
        assert_eq!(readiness.missing(), ["targets"]);
    }
}
