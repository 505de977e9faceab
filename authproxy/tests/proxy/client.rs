//! Clients: HTTP/1.1 and HTTP/2 by hyper, and bytes as somebody wrote them.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use multicluster_certs::dev::{CertKeyPem, DevCa};
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::World;

pub(crate) type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A TLS connection, with or without a certificate.
pub(crate) async fn connect(world: &World, identity: Option<&CertKeyPem>, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    connect_to(world.addr, &world.serving, identity, alpn).await
}

/// A TLS connection to a server whose certificate this authority has signed.
pub(crate) async fn connect_to(
    addr: SocketAddr,
    serving: &DevCa,
    identity: Option<&CertKeyPem>,
    alpn: &[&[u8]],
) -> TlsStream<TcpStream> {
    let mut config = (*serving.client_config(identity).unwrap()).clone();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(std::sync::Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

pub(crate) enum Client {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

impl Client {
    pub(crate) async fn http1(world: &World, identity: Option<&CertKeyPem>) -> Self {
        Self::over(connect(world, identity, &[b"http/1.1"]).await).await
    }

    pub(crate) async fn over(stream: TlsStream<TcpStream>) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self::One(sender)
    }

    pub(crate) async fn http2(world: &World, identity: Option<&CertKeyPem>) -> Self {
        let stream = connect(world, identity, &[b"h2"]).await;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.unwrap();
        tokio::spawn(connection);
        Self::Two(sender)
    }

    pub(crate) async fn send(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::One(sender) => {
                request.headers_mut().insert("host", "localhost".parse().unwrap());
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Two(sender) => {
                let uri = format!("https://localhost{}", request.uri());
                *request.uri_mut() = uri.parse().unwrap();
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.send(get(path)).await.unwrap()
    }
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Empty::new().boxed_unsync()).unwrap()
}

pub(crate) fn put(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    Request::put(path).body(Full::new(body.into()).boxed_unsync()).unwrap()
}

/// With a header.
pub(crate) fn with(mut request: Request<Body>, name: &str, value: &str) -> Request<Body> {
    let name: hyper::header::HeaderName = name.parse().unwrap();
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The `Status` that a failure comes with.
pub(crate) async fn status(response: Response<Incoming>) -> (u16, Value) {
    let code = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let status: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((&status["kind"], &status["code"]), (&"Status".into(), &code.into()));
    (code, status)
}

/// Write these bytes, and read until the proxy closes or says nothing more.
pub(crate) async fn raw(world: &World, identity: Option<&CertKeyPem>, bytes: &[u8]) -> String {
    let mut stream = connect(world, identity, &[b"http/1.1"]).await;
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 4096];
    while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut buffer)).await {
        if n == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}
