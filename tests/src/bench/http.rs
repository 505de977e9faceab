//! A client for load: HTTP/1.1 over TLS, one connection that is kept, no Nagle.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest wait for a connection, and for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The name in the servers' certificates.
pub const SERVER: &str = "localhost";

/// One connection to a server on loopback.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects.
    pub async fn open(port: u16, config: Arc<ClientConfig>) -> Result<Self> {
        timeout(PATIENCE, Self::handshake(port, config))
            .await
            .context("no connection in time")?
    }

    async fn handshake(port: u16, config: Arc<ClientConfig>) -> Result<Self> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(config).connect(SERVER.try_into()?, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// POSTs JSON; returns the answer and how long it took until its last byte. An error unless it is 200.
    pub async fn post(&mut self, path: &str, body: Bytes) -> Result<(Bytes, Duration)> {
        let start = Instant::now();
        let (status, body) = timeout(PATIENCE, self.exchange(path, body))
            .await
            .context("no answer in time")??;
        let elapsed = start.elapsed();
        ensure!(
            status == StatusCode::OK,
            "{path}: {status} {}",
            String::from_utf8_lossy(&body)
        );
        Ok((body, elapsed))
    }

    async fn exchange(&mut self, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let request = Request::post(path)
            .header(header::HOST, SERVER)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}
