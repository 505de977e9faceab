//! A client that sends what it is told to: HTTP/1.1, HTTP/2 or any bytes, over TLS, with a certificate or without one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::KeyPair;

/// Longest wait for a connection, and for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on this machine, and who calls it.
#[derive(Clone)]
pub struct Door {
    port: u16,
    server_name: String,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A connection that takes requests.
pub struct Wire {
    sender: Sender,
    authority: String,
    token: Option<String>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Door {
    /// The server of this name, whose certificate an authority (PEM) signed; shown this certificate.
    pub fn new(port: u16, server_name: &str, authority: &str, certificate: Option<&KeyPair>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate?)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let tls = match certificate {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
                // Whatever the certificate says: what is wrong with it, the server is to find out.
                let key = CertifiedKey::new(chain?, builder.crypto_provider().key_provider.load_private_key(key)?);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        Ok(Self {
            port,
            server_name: server_name.to_owned(),
            tls: Arc::new(tls),
            token: None,
        })
    }

    /// With this bearer token in each request.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// A TLS connection, for any bytes.
    pub async fn raw(&self, version: Version) -> Result<TlsStream<TcpStream>> {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![match version {
            Version::Http1 => b"http/1.1".to_vec(),
            Version::Http2 => b"h2".to_vec(),
        }];
        let connect = async {
            let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).await?;
            stream.set_nodelay(true)?;
            let name = self.server_name.clone().try_into()?;
            anyhow::Ok(TlsConnector::from(Arc::new(tls)).connect(name, stream).await?)
        };
        timeout(PATIENCE, connect).await.context("no connection in time")?
    }

    /// A connection for requests.
    pub async fn open(&self, version: Version) -> Result<Wire> {
        let stream = TokioIo::new(self.raw(version).await?);
        let sender = match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Version::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Wire {
            sender,
            authority: format!("127.0.0.1:{}", self.port),
            token: self.token.clone(),
        })
    }

    /// GET a path on a connection of its own.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.open(Version::Http1).await?.get(path, &[]).await
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Wire {
    /// GET a path with these headers.
    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        self.send("GET", path, headers, Bytes::new()).await
    }

    /// Send a request; returns when the whole answer is there.
    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Answer> {
        let exchange = async {
            let response = self.begin(method, path, headers, body).await?;
            let (parts, body) = response.into_parts();
            anyhow::Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.collect().await?.to_bytes(),
            })
        };
        timeout(PATIENCE, exchange).await.context("no answer in time")?
    }

    /// Send a request; returns when the answer begins.
    pub async fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(method);
        request = match &self.sender {
            Sender::Http1(_) => request.uri(path).header(header::HOST, &self.authority),
            Sender::Http2(_) => request.uri(format!("https://{}{path}", self.authority)),
        };
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        Ok(match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }
}
