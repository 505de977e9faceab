//! Fetches an issuer's keys: the discovery document, and the key set that it names.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::ACCEPT;
use hyper::{Request, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use multicluster_trust::provider::{Issuer, KeySource};
use multicluster_trust::tokens::{InvalidKeySet, KeySet};
use multicluster_upstream::causes;
use serde::Deserialize;

/// Longest document.
const MOST: usize = 1 << 20;
/// Of the discovery document, and of key sets (RFC 7517, 8.5): an API server answers 406 to who does not take just that.
const MEDIA_TYPES: &str = "application/json, application/jwk-set+json";
/// How long each answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An address that is none.
    #[error("{0}: write an https URL")]
    Address(String),
    /// The authorities cannot be used.
    #[error("authorities: {0}")]
    Authorities(String),
    /// There is no answer, or none that TLS lets us believe.
    #[error("{0}: {1}")]
    Unreachable(String, String),
    /// An answer that is not 200: redirects are not followed.
    #[error("{0}: answers {1}")]
    Status(String, u16),
    /// Not a discovery document.
    #[error("{0}: not a discovery document: {1}")]
    Document(String, String),
    /// Somebody else's document.
    #[error("the discovery document speaks for another issuer, {0}")]
    OtherIssuer(String),
    /// No keys in it.
    #[error(transparent)]
    Keys(#[from] InvalidKeySet),
}

/// Fetches keys.
pub trait Fetch: Send + Sync + 'static {
    /// Those of this issuer.
    fn fetch<'a>(&'a self, issuer: &'a Issuer) -> BoxFuture<'a, Result<KeySet, FetchError>>;
}

/// Fetches keys over HTTPS.
#[derive(Debug)]
pub struct Https;

/// OpenID Connect Discovery 1.0, 3: what of it matters here.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Fetch for Https {
    fn fetch<'a>(&'a self, issuer: &'a Issuer) -> BoxFuture<'a, Result<KeySet, FetchError>> {
        Box::pin(fetch(issuer))
    }
}

async fn fetch(issuer: &Issuer) -> Result<KeySet, FetchError> {
    let (url, authorities) = match &issuer.keys {
        KeySource::Inline(text) => return Ok(KeySet::parse(text.as_bytes())?),
        KeySource::Discovery { url, authorities } => (url, authorities),
    };
    let mut config = kube::Config::new(Uri::from_static("https://unused"));
    if !authorities.is_empty() {
        config.root_cert = Some(authorities.iter().map(|der| der.to_vec()).collect());
    }
    let tls = config.rustls_client_config();
    let tls = tls.map_err(|error| FetchError::Authorities(error.to_string()))?;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(ANSWER / 2));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .wrap_connector(http);
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(1)
        .build(connector);
    let document = get(&client, url).await?;
    let document: Document = serde_json::from_slice(&document)
        // Not the parser's own words: they may quote what somebody's server has said.
        .map_err(|error| {
            FetchError::Document(url.clone(), format!("line {}, column {}", error.line(), error.column()))
        })?;
    if document.issuer != issuer.issuer {
        return Err(FetchError::OtherIssuer(document.issuer.chars().take(256).collect()));
    }
    Ok(KeySet::parse(&get(&client, &document.jwks_uri).await?)?)
}

type HttpsClient = Client<hyper_rustls::HttpsConnector<HttpConnector>, Empty<Bytes>>;

async fn get(client: &HttpsClient, url: &str) -> Result<Bytes, FetchError> {
    let shown: String = url.chars().take(256).collect();
    let uri: Uri = url.parse().map_err(|_| FetchError::Address(shown.clone()))?;
    if uri.scheme_str() != Some("https") || uri.host().is_none() {
        return Err(FetchError::Address(shown));
    }
    let request = Request::get(uri).header(ACCEPT, MEDIA_TYPES).body(Empty::new());
    let request = request.map_err(|_| FetchError::Address(shown.clone()))?;
    let unreachable = |why: String| FetchError::Unreachable(shown.clone(), why);
    let answer = async {
        let response = client
            .request(request)
            .await
            .map_err(|error| unreachable(causes(&error)))?;
        if response.status() != 200 {
            return Err(FetchError::Status(shown.clone(), response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), MOST).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => unreachable("more than 1 MiB".into()),
            false => unreachable(error.to_string()),
        })?;
        Ok(body.to_bytes())
    };
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(unreachable("no answer within 10 s".into())),
    }
}

/// As a shared one.
pub fn https() -> Arc<dyn Fetch> {
    Arc::new(Https)
}
