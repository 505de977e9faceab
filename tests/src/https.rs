//! A client for our servers: HTTP/1.1 over TLS, one connection that is kept, no Nagle.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest wait for a connection, and for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection to a server on loopback.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    server: String,
}

/// Trust the authority in a folder with `ca.crt`, as a mounted Secret has it; show the certificate there if asked to.
pub fn client_config(folder: &Path, with_certificate: bool) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(folder.join("ca.crt"))? {
        roots.add(certificate?)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match with_certificate {
        false => builder.with_no_client_auth(),
        true => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(folder.join("tls.crt"))?.collect();
            builder.with_client_auth_cert(chain?, PrivateKeyDer::from_pem_file(folder.join("tls.key"))?)?
        }
    };
    Ok(Arc::new(config))
}

impl Connection {
    /// Connects to the server of this name.
    pub async fn open(port: u16, server: &str, config: Arc<ClientConfig>) -> Result<Self> {
        timeout(PATIENCE, Self::handshake(port, server, config))
            .await
            .context("no connection in time")?
    }

    async fn handshake(port: u16, server: &str, config: Arc<ClientConfig>) -> Result<Self> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(config)
            .connect(server.to_owned().try_into()?, stream)
            .await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            server: server.to_owned(),
        })
    }

    /// POSTs JSON; returns the answer and how long it took until its last byte. An error unless it is 200.
    pub async fn post(&mut self, path: &str, body: Bytes) -> Result<(Bytes, Duration)> {
        let start = Instant::now();
        let (status, body) = self.request(path, body).await?;
        let elapsed = start.elapsed();
        ensure!(
            status == StatusCode::OK,
            "{path}: {status} {}",
            String::from_utf8_lossy(&body)
        );
        Ok((body, elapsed))
    }

    /// POSTs something as JSON.
    pub async fn request(&mut self, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        timeout(PATIENCE, self.exchange(path, body))
            .await
            .context("no answer in time")?
    }

    async fn exchange(&mut self, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let request = Request::post(path)
            .header(header::HOST, &self.server)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}
