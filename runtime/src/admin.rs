//! The admin port: `/metrics`, `/livez`, `/readyz`.
//!
//! It has a thread and a runtime of its own: a process whose work is stuck still says so, and is still measured, and
//! neither probes nor scrapes wait behind work.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use multicluster_certs::{Limits, serve_plain};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

pub use crate::health::{Checks, Liveness, Readiness};

/// Flags of the admin port.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    /// Address of the admin port: /metrics, /livez, /readyz
    #[arg(long, env = "ADMIN_ADDR", default_value = "0.0.0.0:8080")]
    pub admin_addr: SocketAddr,
}

/// Check of liveness: tasks get their turn.
const RUNTIME: &str = "runtime";
/// How often a task shows that it gets its turn, and for how long it may not.
const TURN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Check of readiness: nobody has told the process to stop.
pub(crate) const SHUTDOWN: &str = "shutdown";
pub(crate) const SHUTTING_DOWN: &str = "process is shutting down";

#[derive(Clone)]
struct Admin {
    registry: Arc<Registry>,
    ready: Readiness,
    live: Liveness,
}

/// Bind the admin port, and serve it until the process ends. Returns as soon as the port is bound. From `shutdown` on,
/// the component is not ready. Metrics that every binary has are added here.
pub async fn serve(
    args: &AdminArgs,
    mut registry: Registry,
    ready: Readiness,
    live: Liveness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.admin_addr).with_context(|| format!("--admin-addr {}", args.admin_addr))?;
    listener.set_nonblocking(true)?;
    crate::metrics::register(&mut registry);
    let pulse = live.pulse(RUNTIME, TURN.1);
    tokio::spawn(async move {
        let mut turns = tokio::time::interval(TURN.0);
        loop {
            turns.tick().await;
            pulse.beat();
        }
    });
    ready.add(SHUTDOWN, move || match shutdown.is_cancelled() {
        true => Err(SHUTTING_DOWN.into()),
        false => Ok(()),
    });
    let app = router(registry, ready, live);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("admin".into()).spawn(move || {
        runtime.block_on(async {
            match tokio::net::TcpListener::from_std(listener) {
                // Asked about until the very end: what is done after the signal takes its time.
                Ok(listener) => serve_plain(listener, app, limits(), CancellationToken::new()).await,
                Err(error) => tracing::error!(%error, "admin port"),
            }
        });
    })?;
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

fn router(registry: Registry, ready: Readiness, live: Liveness) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/livez/{check}", get(livez))
        .route("/readyz", get(readyz))
        .route("/readyz/{check}", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Admin {
            registry: Arc::new(registry),
            ready,
            live,
        })
}

async fn livez(State(admin): State<Admin>, only: Option<Path<String>>, RawQuery(query): RawQuery) -> Response {
    answer("livez", admin.live.checks(), only, query)
}

async fn readyz(State(admin): State<Admin>, only: Option<Path<String>>, RawQuery(query): RawQuery) -> Response {
    answer("readyz", &admin.ready, only, query)
}

/// As Kubernetes' servers: `ok`, or with `?verbose` all checks; when one fails, all checks. 503 instead of their 500,
/// which tells a proxy in between to look elsewhere.
fn answer(endpoint: &str, checks: &Checks, only: Option<Path<String>>, query: Option<String>) -> Response {
    let report = checks.report(only.as_ref().map(|Path(name)| name.as_str()));
    if only.is_some() && report.is_empty() {
        return (StatusCode::NOT_FOUND, "no such check\n").into_response();
    }
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    match report.passed() {
        true if verbose => report.text(endpoint).into_response(),
        true => "ok".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, report.text(endpoint)).into_response(),
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
    use tower::ServiceExt;

    use super::*;

    async fn get_text(router: &Router, path: &str) -> (u16, String) {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_answer_as_kubernetes_servers_do() {
        let (ready, live) = (Readiness::default(), Liveness::default());
        ready.expect("targets");
        ready.set("certificate", true);
        let _pulse = live.pulse("work", Duration::from_secs(60));
        let router = router(Registry::default(), ready.clone(), live);
        assert_eq!(get_text(&router, "/livez").await, (200, "ok".into()));
        let verbose = "[+]work ok\nlivez check passed\n";
        assert_eq!(get_text(&router, "/livez?verbose").await, (200, verbose.into()));
        let failed = "[+]certificate ok\n[-]targets failed: not yet\nreadyz check failed\n";
        assert_eq!(get_text(&router, "/readyz").await, (503, failed.into()));
        assert_eq!(get_text(&router, "/readyz/certificate").await, (200, "ok".into()));
        assert_eq!(get_text(&router, "/readyz/targets").await.0, 503);
        assert_eq!(get_text(&router, "/readyz/other").await.0, 404);
        ready.set("targets", true);
        assert_eq!(get_text(&router, "/readyz").await, (200, "ok".into()));
    }

    #[tokio::test]
    async fn a_probe_is_answered_however_many_say_nothing() {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let args = AdminArgs { admin_addr: addr };
        let (ready, live, stop) = (Readiness::default(), Liveness::default(), CancellationToken::new());
        serve(&args, Registry::default(), ready, live, stop).await.unwrap();
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
    }

    /// Blocks every worker of a runtime, as a bug would, and asks the port.
    #[test]
    fn a_stuck_runtime_still_answers_and_is_not_ready_after_the_signal() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (ready, live, stop) = (Readiness::default(), Liveness::default(), CancellationToken::new());
        let args = AdminArgs { admin_addr: port };
        runtime
            .block_on(serve(&args, Registry::default(), ready, live.clone(), stop.clone()))
            .unwrap();
        let pulse = live.pulse("work", Duration::from_millis(50));
        runtime.spawn(async move {
            pulse.beat();
            std::thread::sleep(Duration::from_secs(2));
        });
        let ask = |path: &str| {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(port).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        std::thread::sleep(Duration::from_millis(200));
        let livez = ask("/livez");
        assert!(livez.contains(" 503 ") && livez.contains("[-]work failed"), "{livez}");
        assert!(ask("/metrics").contains("multicluster_build_info"));
        assert!(ask("/readyz").contains(" 200 "));
        stop.cancel();
        assert!(ask("/readyz").contains(SHUTTING_DOWN));
        runtime.shutdown_background();
    }
}
