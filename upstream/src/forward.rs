//! Passes requests on to the API server, over HTTP/1.1: a watch is a connection of its own, upgrades work, and hanging up
//! says that nobody listens any more.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{HeaderValue, UPGRADE};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::rt::{Read, Write};
use hyper::{Method, Request, Response, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::ConfigExt;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::error::causes;
use crate::{BoxError, NotUsable, SendError};

/// A request's body, on its way.
pub type Sent = UnsyncBoxBody<Bytes, BoxError>;

const CONNECT: Duration = Duration::from_secs(5);
/// How long connections are kept that nobody uses: less than the API server keeps them (90 s), or a request would meet one
/// that is just being closed.
const IDLE: Duration = Duration::from_secs(60);
/// How many of them.
const IDLE_CONNECTIONS: usize = 64;
/// After so long without a word, the kernel asks whether the API server is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// So often, a third of that apart.
const ASKED: u32 = 3;
/// Most that is kept of a response that the client does not read, and of a request that the API server does not.
const BUFFER: usize = 64 << 10;

type Calls = BoxCloneSyncService<Request<Sent>, Response<Incoming>, BoxError>;

/// An API server.
#[derive(Clone)]
pub struct Upstream {
    calls: Calls,
    scheme: Scheme,
    authority: Authority,
    /// What is in front of all paths, without a slash at its end; most often nothing.
    base: String,
}

impl Upstream {
    /// The API server that a kubeconfig names, with the credentials in it, which are renewed where they are in a file.
    pub fn new(config: &kube::Config) -> Result<Self, NotUsable> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE / 3));
        http.set_keepalive_retries(Some(ASKED));
        let calls = match &config.proxy_url {
            None => calls(config, http)?,
            Some(proxy) => match proxy.scheme_str() {
                Some("http") => calls(config, tunnel(proxy, http))?,
                Some("https") => calls(
                    config,
                    tunnel(proxy, config.rustls_https_connector_with_connector(http)?),
                )?,
                _ => return Err(NotUsable::Proxy),
            },
        };
        let parts = config.cluster_url.clone().into_parts();
        Ok(Self {
            calls,
            scheme: parts.scheme.ok_or(NotUsable::Url("scheme"))?,
            authority: parts.authority.ok_or(NotUsable::Url("host"))?,
            base: parts
                .path_and_query
                .map(|path| path.path().trim_end_matches('/').to_owned())
                .unwrap_or_default(),
        })
    }

    /// Where a request goes: the same path and query, byte for byte.
    fn uri(&self, target: &Uri) -> Result<Uri, SendError> {
        let wrong = SendError::NotAPath;
        let path = target.path_and_query().ok_or(wrong)?;
        let path = match self.base.as_str() {
            "" => path.clone(),
            base => PathAndQuery::try_from(format!("{base}{path}")).map_err(|_| wrong)?,
        };
        let whole = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone());
        whole.path_and_query(path).build().map_err(|_| wrong)
    }

    /// Ask the API server.
    pub async fn send(&self, mut request: Request<Sent>) -> Result<Response<Incoming>, SendError> {
        *request.uri_mut() = self.uri(request.uri())?;
        *request.version_mut() = Version::HTTP_11;
        // A WebSocket begins with GET, too, and may run a command.
        let upgrade = request.headers().contains_key(UPGRADE);
        let harmless = !upgrade && matches!(*request.method(), Method::GET | Method::HEAD);
        let again = (harmless && request.body().is_end_stream()).then(|| {
            let mut again = Request::new(Sent::default());
            *again.method_mut() = request.method().clone();
            *again.uri_mut() = request.uri().clone();
            *again.headers_mut() = request.headers().clone();
            again
        });
        let error = match self.call(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        // The connection may have been closed just then, for having been idle. A new one will tell.
        let error = match again.filter(|_| !is_connect(&error)) {
            None => error,
            Some(again) => match self.call(again).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            },
        };
        tracing::debug!(error = causes(&*error), "API server");
        match harmless || is_connect(&error) {
            true => Err(SendError::Unreachable),
            false => Err(SendError::Lost),
        }
    }

    async fn call(&self, request: Request<Sent>) -> Result<Response<Incoming>, BoxError> {
        let mut calls = self.calls.clone();
        calls.ready().await?.call(request).await
    }
}

/// Connections that this makes, and the credentials that requests get.
fn calls<C>(config: &kube::Config, connector: C) -> Result<Calls, NotUsable>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: std::error::Error + Send + Sync + 'static,
{
    let client: Client<_, Sent> = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .http1_max_buf_size(BUFFER)
        .build(config.rustls_https_connector_with_connector(connector)?);
    let calls = ServiceBuilder::new()
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(BoxCloneSyncService::new(calls))
}

/// By way of a proxy, which hears the password in its URL.
fn tunnel<C>(proxy: &Uri, connector: C) -> Tunnel<C> {
    let tunnel = Tunnel::new(proxy.clone(), connector);
    let userinfo = proxy
        .authority()
        .and_then(|authority| authority.as_str().rsplit_once('@'));
    let Some((userinfo, _)) = userinfo else {
        return tunnel;
    };
    let plain: Vec<u8> = percent_encoding::percent_decode_str(userinfo).collect();
    let basic = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(plain)));
    match basic {
        Ok(mut basic) => {
            basic.set_sensitive(true);
            tunnel.with_auth(basic)
        }
        Err(_) => tunnel,
    }
}

/// Has the API server not seen anything of the request?
fn is_connect(error: &BoxError) -> bool {
    let error = error.downcast_ref::<hyper_util::client::legacy::Error>();
    // Without one, it was our own credentials that could not be had.
    error.is_none_or(hyper_util::client::legacy::Error::is_connect)
}
