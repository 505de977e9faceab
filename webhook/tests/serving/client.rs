//! A running webhook and a client that keeps its connection.

use std::net::SocketAddr;
use std::time::Duration;

use multicluster_certs::dev::DevCa;
use multicluster_certs::{Limits, ServingTls, serve};
use multicluster_webhook::config::ProxyConfig;
use multicluster_webhook::metrics::Metrics;
use multicluster_webhook::server::router;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

pub(crate) const MUTATE: &str = "/mutate-v1-pod";
pub(crate) const VALIDATE: &str = "/validate-v1-pod";

pub(crate) struct Webhook {
    ca: DevCa,
    addr: SocketAddr,
    pub(crate) metrics: Metrics,
    _folder: tempfile::TempDir,
    _stop: tokio_util::sync::DropGuard,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The response of an AdmissionReview.
    pub(crate) fn response(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        let review: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(review["kind"], "AdmissionReview");
        review["response"].clone()
    }
}

impl Webhook {
    pub(crate) async fn start() -> Self {
        let (ca, folder, stop) = (
            DevCa::new().unwrap(),
            tempfile::tempdir().unwrap(),
            CancellationToken::new(),
        );
        let args = ca.server(&["localhost"]).unwrap().write_to(folder.path()).unwrap();
        let tls = ServingTls::start(&args, Duration::from_secs(60), stop.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let metrics = Metrics::default();
        let router = router(ProxyConfig::default(), metrics.clone());
        tokio::spawn(serve(listener, tls, router, Limits::default(), stop.clone()));
        Self {
            ca,
            addr,
            metrics,
            _folder: folder,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        TlsConnector::from(self.ca.client_config(None).unwrap())
            .connect("localhost".try_into().unwrap(), stream)
            .await
            .unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> Answer {
        exchange(
            &mut self.connect().await,
            "POST",
            path,
            &["content-type: application/json"],
            body,
        )
        .await
    }

    pub(crate) async fn review(&self, path: &str, request: Value) -> Value {
        self.post(path, &review(request)).await.response()
    }
}

pub(crate) fn review(request: Value) -> Vec<u8> {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        .to_string()
        .into_bytes()
}

/// The creation of a pod.
pub(crate) fn create(pod: Value) -> Value {
    json!({
        "uid": "705ab4f5",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "admin"},
        "object": pod,
        "oldObject": null,
        "dryRun": false,
        "options": null,
    })
}

pub(crate) fn elected() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"multicluster.admiralty.io/elect": ""}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    })
}

/// One request and its answer, with `content-length`, over a connection that stays open.
pub(crate) async fn exchange(
    stream: &mut TlsStream<TcpStream>,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n",
        body.len()
    );
    for header in headers {
        head += &format!("{header}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    // A server that refuses early may not read all of it.
    let _ = stream.write_all(body).await;
    read_answer(stream).await
}

pub(crate) async fn read_answer(stream: &mut TlsStream<TcpStream>) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed: {bytes:?}");
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap()
        .parse()
        .unwrap();
    let mut body = bytes.split_off(end);
    while body.len() < length {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "cut off");
    }
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: String::from_utf8(body).unwrap(),
    }
}
