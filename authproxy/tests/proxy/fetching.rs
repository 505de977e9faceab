//! Issuers' keys, over HTTPS.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use multicluster_authproxy::jwks::{Fetch, FetchError, Https};
use multicluster_certs::dev::DevCa;
use multicluster_certs::{RELOAD_INTERVAL, ServingTls};
use multicluster_trust::provider::{Issuer, KeySource};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const KEYS: &str = r#"{"keys":[{"kty":"OKP","kid":"1","use":"sig","alg":"EdDSA","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// An issuer's server: each path is another way to answer.
struct Server {
    ca: DevCa,
    base: String,
}

impl Server {
    async fn start() -> Self {
        let ca = DevCa::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let args = ca.server(&["localhost"]).unwrap().write_to(folder.path()).unwrap();
        let tls = ServingTls::start(&args, RELOAD_INTERVAL, CancellationToken::new()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let here = base.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, here) = (TlsAcceptor::from(tls.current()), here.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request| answer(request, here.clone()));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { ca, base }
    }

    fn issuer(&self, path: &str, trusted: bool) -> Issuer {
        let ca = CertificateDer::from_pem_slice(self.ca.pem().as_bytes()).unwrap();
        let other = CertificateDer::from_pem_slice(DevCa::new().unwrap().pem().as_bytes()).unwrap();
        Issuer {
            issuer: self.base.clone(),
            audiences: BTreeSet::new(),
            keys: KeySource::Discovery {
                url: format!("{}{path}", self.base),
                authorities: vec![if trusted { ca } else { other }],
            },
        }
    }

    async fn fetch(&self, path: &str) -> Result<(), FetchError> {
        Https.fetch(&self.issuer(path, true)).await.map(drop)
    }
}

async fn answer(request: Request<Incoming>, base: String) -> Result<Response<Full<Bytes>>, Infallible> {
    let document = |issuer: &str, keys: String| json!({ "issuer": issuer, "jwks_uri": keys }).to_string();
    let plain = base.replace("https:", "http:");
    let body = match request.uri().path() {
        "/good" => document(&base, format!("{base}/keys")),
        "/keys" => KEYS.into(),
        "/other" => document("https://other.example.com", format!("{base}/keys")),
        "/plain" => document(&base, format!("{plain}/keys")),
        "/long" => "x".repeat(2 << 20),
        "/endless-keys" => document(&base, format!("{base}/long")),
        "/no-keys" => document(&base, format!("{base}/empty")),
        "/empty" => r#"{"keys":[]}"#.into(),
        "/redirect" => {
            let redirect = Response::builder()
                .status(302)
                .header("location", format!("{base}/good"));
            return Ok(redirect.body(Full::default()).unwrap());
        }
        _ => "secret words".into(),
    };
    Ok(Response::new(Full::new(Bytes::from(body))))
}

#[tokio::test]
async fn keys_come_by_way_of_the_discovery_document() {
    let server = Server::start().await;
    server.fetch("/good").await.unwrap();
}

#[tokio::test]
async fn nothing_else_counts_as_keys() {
    let server = Server::start().await;
    let error = async |path: &str| server.fetch(path).await.unwrap_err();
    assert!(matches!(error("/other").await, FetchError::OtherIssuer(_)));
    assert!(matches!(error("/plain").await, FetchError::Address(_)), "https only");
    assert!(matches!(error("/long").await, FetchError::Unreachable(..)));
    assert!(matches!(error("/endless-keys").await, FetchError::Unreachable(..)));
    assert!(matches!(error("/no-keys").await, FetchError::Keys(_)));
    assert!(
        matches!(error("/redirect").await, FetchError::Status(_, 302)),
        "redirects are not followed"
    );
    let words = error("/words").await;
    assert!(
        matches!(words, FetchError::Document(..)) && !words.to_string().contains("secret"),
        "{words}"
    );
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_believed() {
    let server = Server::start().await;
    let error = Https.fetch(&server.issuer("/good", false)).await.map(drop).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable(..)), "{error}");
    let _ = Arc::new(error);
}
