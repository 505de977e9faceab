//! A request's way: who sends it, may it be passed on, the API server's answer.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode, Version};
use multicluster_certs::{BoxError, Handler, Peer, RequestBody};
use multicluster_upstream::{self as upstream, Stream, Upstream};
use tokio_util::sync::CancellationToken;

use crate::authenticate::{Authenticator, Shown, still_admits};
use crate::denials::Denials;
use crate::flights::{Admission, Cut, Flight, Flights};
use crate::headers;
use crate::knowledge::Knowledge;
use crate::metrics::Metrics;
use crate::status::{Body, Failure};

/// The parts that requests go through.
pub struct Parts {
    /// Whom to trust.
    pub knowledge: Arc<Knowledge>,
    /// Who calls.
    pub authenticator: Authenticator,
    /// What is under way.
    pub flights: Flights,
    /// The API server.
    pub upstream: Upstream,
    /// Who was not let in.
    pub denials: Arc<Denials>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Upgraded connections end.
    pub over: CancellationToken,
}

/// The proxy.
#[derive(Clone)]
pub struct Proxy(Arc<Parts>);

/// One connection.
pub struct Connection {
    proxy: Proxy,
    peer: Peer,
    shown: Arc<Shown>,
}

impl Proxy {
    /// Of these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Handler for Proxy {
    type Body = Body;
    type Answers = Connection;

    const STRICT: bool = true;

    fn answers(&self, peer: &Peer) -> Connection {
        Connection {
            proxy: self.clone(),
            peer: peer.clone(),
            shown: Arc::new(Shown::new(peer.certificates.clone())),
        }
    }

    fn malformed(&self, peer: &Peer, reason: &'static str) -> Response<Body> {
        let failure = Failure::Malformed(reason);
        self.0.denials.refused(peer.addr, &failure, None);
        self.counted(failure.response())
    }

    fn broke(&self, addr: SocketAddr, error: &dyn fmt::Display) {
        self.0.denials.broke(addr, error);
    }
}

impl Service<Request<RequestBody>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<RequestBody>) -> Self::Future {
        let (proxy, peer, shown) = (self.proxy.clone(), self.peer.clone(), self.shown.clone());
        Box::pin(async move {
            let answer = proxy.answer(&peer, &shown, request).await;
            Ok(proxy.counted(answer.unwrap_or_else(|failure| failure.response())))
        })
    }
}

impl Proxy {
    fn counted(&self, response: Response<Body>) -> Response<Body> {
        self.0.metrics.answered(response.status());
        response
    }

    async fn answer(
        &self,
        peer: &Peer,
        shown: &Shown,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Body>, Failure> {
        let parts = &*self.0;
        let admission = self.admit(peer, shown, &request).await?;
        let caller = admission.caller.clone();
        let flight = self.begin(admission, peer)?;
        let upgrade = request.version() == Version::HTTP_11 && headers::asks_for_upgrade(request.headers());
        let client = upgrade.then(|| hyper::upgrade::on(&mut request));
        headers::towards_server(request.headers_mut(), &caller, peer.addr.ip(), upgrade)
            .map_err(|_| Failure::Malformed("the user cannot be written into a header"))?;
        request.extensions_mut().clear();
        let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
        let began = Instant::now();
        let sent = parts.upstream.send(request);
        let mut response = tokio::select! {
            biased;
            response = sent => {
                response.map_err(Failure::from).inspect_err(|failure| parts.denials.unreachable(failure))?
            }
            cut = flight.cut() => return Err(after(cut)),
        };
        parts.metrics.upstream_answered(began.elapsed());
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::towards_client(response.headers_mut(), switched);
        Ok(match (switched, client) {
            (true, Some(client)) => self.switch(client, response, flight),
            // Nobody asked for it.
            (true, None) => return Err(Failure::Lost),
            (false, _) => response.map(|body| Body::Stream(Stream::new(body, flight))),
        })
    }

    fn switch(
        &self,
        client: hyper::upgrade::OnUpgrade,
        mut response: Response<Incoming>,
        flight: Flight,
    ) -> Response<Body> {
        let server = hyper::upgrade::on(&mut response);
        flight.is_upgraded();
        let over = self.0.over.clone();
        tokio::spawn(async move {
            let cut = async {
                tokio::select! {
                    cut = flight.cut() => cut,
                    () = over.cancelled() => Cut::Shutdown,
                }
            };
            upstream::splice(client, server, cut).await;
        });
        response.map(|_| Body::empty())
    }

    /// Who sends it, if it may be passed on. What is wrong with it is told with the name of who has sent it, if possible.
    async fn admit(&self, peer: &Peer, shown: &Shown, request: &Request<RequestBody>) -> Result<Admission, Failure> {
        let parts = &*self.0;
        let known = parts.knowledge.current().ok_or(Failure::Unknowing)?;
        let headers = request.headers();
        let admission = match parts.authenticator.authenticate(&known, shown, headers).await {
            Ok(admission) => admission,
            Err(failure) => {
                match &failure {
                    Failure::Denied(denied) => parts.denials.denied(peer.addr, denied, shown.chain(), headers),
                    other => parts.denials.refused(peer.addr, other, None),
                }
                return Err(failure);
            }
        };
        match refusal(request) {
            None => Ok(admission),
            Some(failure) => {
                parts.denials.refused(peer.addr, &failure, Some(&admission.caller));
                Err(failure)
            }
        }
    }

    /// From here on it is cut when its caller is not trusted any more. Trust may have changed just before: then nobody would
    /// cut it.
    fn begin(&self, admission: Admission, peer: &Peer) -> Result<Flight, Failure> {
        let parts = &*self.0;
        let flight = parts.flights.begin(admission.clone(), peer).ok_or(Failure::Busy)?;
        let known = parts.knowledge.current().ok_or(Failure::Unknowing)?;
        match still_admits(&known.trust, &admission) {
            true => Ok(flight),
            false => Err(after(Cut::Revoked)),
        }
    }
}

/// What is said to somebody who was cut off before there was an answer.
fn after(cut: Cut) -> Failure {
    match cut {
        Cut::Revoked => multicluster_trust::Denied::Unproven(cut.to_string()).into(),
        Cut::Unknowing => Failure::Unknowing,
        Cut::Shutdown => Failure::Lost,
    }
}

/// Why a request of somebody who may call is not passed on.
fn refusal(request: &Request<RequestBody>) -> Option<Failure> {
    let (headers, uri) = (request.headers(), request.uri());
    if let Some(name) = headers::refused(headers) {
        return Some(Failure::Header(name));
    }
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Some(Failure::Method(request.method().to_string()));
    }
    // What asks for a whole URL asks for a proxy to somewhere else.
    let elsewhere = request.version() < Version::HTTP_2 && uri.scheme().is_some();
    if elsewhere || !uri.path().starts_with('/') {
        return Some(Failure::Malformed("write a path after the method, such as /version"));
    }
    let strange = headers::has_strange_encoding(headers);
    strange.then_some(Failure::Malformed(
        "a transfer-encoding other than chunked is not passed on",
    ))
}
