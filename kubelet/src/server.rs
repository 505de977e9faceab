//! A request's way: who sends it, may they, which delegate it is for, the target's answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;
use multicluster_certs::{Handler, Peer, RequestBody};
use multicluster_upstream::headers::{asks_for_upgrade, has_strange_encoding, remove_hop_by_hop};
use multicluster_upstream::{self as upstream, Stream as Streaming};

use crate::failure::{Failure, answer};
use crate::flight::{Body, Flights};
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::nodes::{Delegate, NoDelegate, Nodes};
use crate::pass::{self, Refusal};
use crate::paths::{NodePath, Path, PodPath, Stream};
use crate::reviews::Reviews;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// The form in which Prometheus' text is announced.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Longest path and query.
const LONGEST_URI: usize = 32 << 10;

/// The parts that requests go through.
pub struct Parts<N, R> {
    /// Virtual nodes, pods and delegates.
    pub nodes: Arc<N>,
    /// Who is let in.
    pub gate: Gate<R>,
    /// Streams that are open.
    pub flights: Flights,
    /// What `/metrics` shows.
    pub metrics: Metrics,
}

/// The kubelet API.
pub struct Kubelet<N, R>(Arc<Parts<N, R>>);

impl<N, R> Clone for Kubelet<N, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// One connection.
pub struct Connection<N, R> {
    kubelet: Kubelet<N, R>,
    peer: Peer,
}

impl<N, R> Kubelet<N, R> {
    /// Of these parts.
    pub fn new(parts: Parts<N, R>) -> Self {
        Self(Arc::new(parts))
    }
}

impl<N: Nodes, R: Reviews> Handler for Kubelet<N, R> {
    type Body = Body;
    type Answers = Connection<N, R>;

    const STRICT: bool = true;

    fn answers(&self, peer: &Peer) -> Connection<N, R> {
        Connection {
            kubelet: self.clone(),
            peer: peer.clone(),
        }
    }

    fn malformed(&self, _peer: &Peer, reason: &'static str) -> Response<Body> {
        let failure = Failure::Malformed(reason);
        self.0.metrics.answered("other", failure.code());
        failure.response()
    }
}

impl<N: Nodes, R: Reviews> Service<Request<RequestBody>> for Connection<N, R> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<RequestBody>) -> Self::Future {
        let (kubelet, peer) = (self.kubelet.clone(), self.peer.clone());
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let parsed = Path::parse(&path);
            let result = kubelet.answer(&peer, request, parsed).await;
            let response = result.unwrap_or_else(|failure| {
                tracing::debug!(path, code = failure.code().as_u16(), %failure, "kubelet API");
                match parsed {
                    Some(Path::Pod(PodPath {
                        what: Stream::Logs { .. },
                        ..
                    })) if failure.code() != StatusCode::UNAUTHORIZED => failure.text(),
                    _ => failure.response(),
                }
            });
            let kind = parsed.map_or("other", |path| path.kind());
            kubelet.0.metrics.answered(kind, response.status());
            Ok(response)
        })
    }
}

/// The nodes that a request is about.
enum On {
    /// All there are.
    All,
    /// This one, which need not be there.
    One(String),
}

impl On {
    /// As a SubjectAccessReview has it, where an empty name means all.
    fn resource_name(&self) -> &str {
        match self {
            Self::All => "",
            Self::One(name) => name,
        }
    }
}

fn healthy() -> Response<Body> {
    answer(StatusCode::OK, TEXT, "ok".into())
}

impl<N: Nodes, R: Reviews> Kubelet<N, R> {
    async fn answer(
        &self,
        peer: &Peer,
        request: Request<RequestBody>,
        path: Option<Path<'_>>,
    ) -> Result<Response<Body>, Failure> {
        let gate = &self.0.gate;
        let caller = gate.authenticate(&peer.certificates, request.headers()).await?;
        let path = path.ok_or(Failure::NotFound)?;
        if !path.allows(request.method()) {
            return Err(Failure::Method);
        }
        check(&request)?;
        let on = self.on(&path)?;
        gate.authorize(&caller, request.method(), on.resource_name(), path.subresources())
            .await?;
        match (path, on) {
            (Path::Pod(pod), _) => self.pass(peer, request, pod).await,
            (Path::Node { what, .. }, On::One(node)) => self.of_node(&node, what).await,
            (Path::Node { .. }, On::All) => Ok(healthy()),
        }
    }

    /// What the caller must have rights on. Of a pod that is not known nothing is said to who has not all nodes.
    fn on(&self, path: &Path<'_>) -> Result<On, Failure> {
        let nodes = &self.0.nodes;
        match path {
            Path::Pod(path) => Ok(nodes.node_of(&path.pod).map_or(On::All, On::One)),
            Path::Node { name: Some(name), .. } => Ok(On::One((*name).to_owned())),
            Path::Node { name: None, what } => match <[String; 1]>::try_from(nodes.names()) {
                Ok([only]) => Ok(On::One(only)),
                // It is the health of this program, whatever nodes there are: who asks has rights on all of them.
                Err(_) if *what == NodePath::Healthz => Ok(On::All),
                Err(names) => Err(Failure::WhichNode(names.len(), what.of("NAME"))),
            },
        }
    }

    async fn of_node(&self, node: &str, what: NodePath) -> Result<Response<Body>, Failure> {
        let nodes = &self.0.nodes;
        if !nodes.names().iter().any(|name| name == node) {
            return Err(Failure::UnknownNode(node.to_owned()));
        }
        Ok(match what {
            NodePath::Healthz => healthy(),
            NodePath::Pods => {
                let list = List {
                    items: nodes.pods(node).iter().map(|pod| Pod::clone(pod)).collect(),
                    ..List::default()
                };
                let text =
                    serde_json::to_string(&list).map_err(|_| Failure::Malformed("the pods cannot be written"))?;
                answer(StatusCode::OK, JSON, text)
            }
            NodePath::ResourceMetrics => answer(StatusCode::OK, METRICS, nodes.resource_metrics(node).await?),
            NodePath::Summary => answer(StatusCode::OK, JSON, nodes.summary(node).await?),
        })
    }

    async fn pass(
        &self,
        peer: &Peer,
        mut request: Request<RequestBody>,
        path: PodPath<'_>,
    ) -> Result<Response<Body>, Failure> {
        let upgrade = !matches!(path.what, Stream::Logs { .. });
        if upgrade && !(request.version() == Version::HTTP_11 && asks_for_upgrade(request.headers())) {
            return Err(Failure::Malformed(
                "you must request an upgrade of the connection (WebSocket or SPDY/3.1)",
            ));
        }
        let delegate = self.0.nodes.delegate(&path.pod)?;
        let query = request.uri().query().unwrap_or_default();
        let wanted = pass::towards(&delegate, &path.what, query, request.method(), request.headers())?;
        let flight = self.0.flights.begin(peer);
        let flight = flight.ok_or_else(|| Failure::Busy(self.0.flights.most()))?;
        let client = upgrade.then(|| hyper::upgrade::on(&mut request));
        let mut response = tokio::select! {
            biased;
            response = pass::send(&delegate, wanted) => response?,
            _ = flight.cut() => return Err(Failure::Ending),
        };
        match (response.status(), client) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(client)) => {
                let server = hyper::upgrade::on(&mut response);
                tokio::spawn(splice(client, server, flight));
                Ok(response.map(|_| Body::empty()))
            }
            (StatusCode::SWITCHING_PROTOCOLS, None) => Err(Failure::Lost(delegate.target)),
            (code, None) if code.is_success() => {
                remove_hop_by_hop(response.headers_mut());
                Ok(response.map(|body| Body::Stream(Streaming::new(body, flight))))
            }
            _ => refuse(&delegate, &path, Refusal::of(response).await),
        }
    }
}

async fn splice(client: OnUpgrade, server: OnUpgrade, flight: crate::flight::Flight) {
    upstream::splice(client, server, flight.cut()).await;
}

/// What the target says instead of what was asked for reaches the caller: as it is where clients read it, and as text where
/// they would show it.
fn refuse(delegate: &Delegate, path: &PodPath<'_>, refusal: Refusal) -> Result<Response<Body>, Failure> {
    let said = refusal
        .message
        .clone()
        .unwrap_or_else(|| String::from_utf8_lossy(&refusal.body).into_owned());
    if refusal.is_ours() {
        let target = delegate.target.clone();
        return Err(Failure::NotGranted { target, said });
    }
    // The pod that is missing there has another name than the one that the caller knows.
    if refusal.code == StatusCode::NOT_FOUND && said.contains(&delegate.name) {
        let pod = path.pod.to_string();
        return Err(NoDelegate::Gone { pod }.into());
    }
    let logs = matches!(path.what, Stream::Logs { .. });
    Ok(match (logs, &refusal.message) {
        (true, _) => answer(refusal.code, TEXT, said),
        (false, Some(_)) => answer(refusal.code, JSON, String::from_utf8_lossy(&refusal.body).into_owned()),
        (false, None) => answer(refusal.code, TEXT, said),
    })
}

/// What is wrong with a request whoever sends it.
fn check(request: &Request<RequestBody>) -> Result<(), Failure> {
    let uri = request.uri();
    let elsewhere = request.version() < Version::HTTP_2 && uri.scheme().is_some();
    if elsewhere {
        return Err(Failure::Malformed("write a path after the method, such as /healthz"));
    }
    if uri.path_and_query().is_some_and(|all| all.as_str().len() > LONGEST_URI) {
        return Err(Failure::Malformed("the path and its parameters are longer than 32 KiB"));
    }
    match has_strange_encoding(request.headers()) {
        true => Err(Failure::Malformed(
            "a transfer-encoding other than chunked is not taken",
        )),
        false => Ok(()),
    }
}
