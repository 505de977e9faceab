//! A running server, and a client for it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use multicluster_certs::dev::{CertKeyPem, DevCa};
use multicluster_certs::{Limits, ServingArgs, ServingTls, serve};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

pub(crate) struct TestServer {
    pub(crate) ca: DevCa,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) addr: SocketAddr,
    pub(crate) tls: ServingTls,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_with(limits, |_, _| {}).await
    }

    /// `adjust` may add to the flags; it gets the folder for files of its own.
    pub(crate) async fn start_with(limits: Limits, adjust: impl FnOnce(&mut ServingArgs, &Path)) -> Self {
        let ca = DevCa::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut args = ca.server(&["localhost"]).unwrap().write_to(folder.path()).unwrap();
        adjust(&mut args, folder.path());
        let shutdown = CancellationToken::new();
        let tls = ServingTls::start(&args, Duration::from_millis(10), shutdown.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/slow", get(slow));
        let task = tokio::spawn(serve(listener, tls.clone(), router, limits, shutdown.clone()));
        Self {
            ca,
            folder,
            addr,
            tls,
            shutdown,
            task,
        }
    }

    /// Handshake; `None` when the server refuses.
    pub(crate) async fn connect(&self, identity: Option<&CertKeyPem>) -> std::io::Result<TlsStream<TcpStream>> {
        connect(self.addr, self.ca.client_config(identity).unwrap()).await
    }

    /// The answer to `GET path`, body and all, or what came instead of it.
    pub(crate) async fn get(&self, path: &str, identity: Option<&CertKeyPem>) -> std::io::Result<String> {
        get_over(self.connect(identity).await?, path).await
    }
}

pub(crate) async fn connect(addr: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    shake_hands(TcpStream::connect(addr).await?, config).await
}

pub(crate) async fn shake_hands(stream: TcpStream, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config)
        .connect("localhost".try_into().unwrap(), stream)
        .await
}

pub(crate) async fn get_over(stream: TlsStream<TcpStream>, path: &str) -> std::io::Result<String> {
    exchange(stream, path, "connection: close\r\n").await
}

/// The same, by a client that would keep the connection: returns when the server closes it.
pub(crate) async fn keep_alive_get(stream: TlsStream<TcpStream>, path: &str) -> std::io::Result<String> {
    exchange(stream, path, "").await
}

async fn exchange(mut stream: TlsStream<TcpStream>, path: &str, header: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
