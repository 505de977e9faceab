//! The verbs over HTTP: decode, ask, encode.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use multicluster_api::virtual_node::is_virtual_node;
use serde::Serialize;

use crate::bind::{BindRequest, Binder};
use crate::core::pod::SourcePod;
use crate::index::{Candidate, Index, Verdict};
use crate::metrics::{BindLabels, Metrics, RequestLabels, VerbLabels};
use crate::trace::span;
use crate::wire::{
    ExtenderArgs, ExtenderBindingArgs, ExtenderBindingResult, ExtenderFilterResult, ExtenderPreemptionArgs,
    ExtenderPreemptionResult, HostPriority, MetaPod, NodeHead, NodeList, Victims,
};

/// Largest body: 5,000 whole nodes of 16 KiB.
const MAX_BODY: usize = 80 << 20;
/// Longest wait for a body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What the handlers share.
#[derive(Clone)]
pub struct Extender {
    /// What is known of all targets.
    pub index: Arc<Index>,
    /// Binds pods; `None` where there is no cluster to bind them in (benchmarks).
    pub binder: Option<Binder>,
    /// Counters.
    pub metrics: Metrics,
}

/// The routes.
pub fn router(extender: Extender) -> Router {
    Router::new()
        .route("/filter", post(filter))
        .route("/prioritize", post(prioritize))
        .route("/preempt", post(preempt))
        .route("/bind", post(bind))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(extender)
}

async fn filter(State(extender): State<Extender>, body: Body) -> Response {
    extender.answer("filter", body, |body| extender.filter(body)).await
}

async fn prioritize(State(extender): State<Extender>, body: Body) -> Response {
    extender
        .answer("prioritize", body, |body| extender.prioritize(body))
        .await
}

async fn preempt(State(extender): State<Extender>, body: Body) -> Response {
    extender.answer("preempt", body, |body| extender.preempt(body)).await
}

async fn bind(State(extender): State<Extender>, body: Body) -> Response {
    let start = Instant::now();
    let args = read(body).await.and_then(|body| decode::<ExtenderBindingArgs>(&body));
    let (response, result) = match args {
        Err(bad) => (bad.into_response(), "invalid"),
        Ok(args) => {
            let error = extender.bind(args).await;
            let result = if error.is_empty() { "ok" } else { "error" };
            (json(&ExtenderBindingResult { error }), result)
        }
    };
    extender.count("bind", result, start);
    response
}

/// A request that cannot be understood: what is wrong with it.
struct Bad(String);

impl IntoResponse for Bad {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.0).into_response()
    }
}

impl Extender {
    async fn answer(&self, verb: &'static str, body: Body, f: impl FnOnce(&[u8]) -> Result<Response, Bad>) -> Response {
        let start = Instant::now();
        let answer = read(body).await.and_then(|body| f(&body));
        self.count(verb, if answer.is_ok() { "ok" } else { "invalid" }, start);
        answer.unwrap_or_else(IntoResponse::into_response)
    }

    fn count(&self, verb: &'static str, result: &'static str, start: Instant) {
        self.metrics
            .requests
            .get_or_create(&RequestLabels { verb, result })
            .inc();
        self.metrics
            .durations
            .get_or_create(&VerbLabels { verb })
            .observe(start.elapsed().as_secs_f64());
    }

    fn filter(&self, body: &[u8]) -> Result<Response, Bad> {
        let args: ExtenderArgs<'_> = decode(body)?;
        let nodes = Nodes::of(&args)?;
        let candidates = nodes.candidates();
        let mut span = span("filter", &args.pod.metadata, Instant::now());
        let verdicts = match SourcePod::read(&args.pod) {
            Ok(pod) => self.index.filter(&pod, &candidates, Instant::now()),
            Err(error) => vec![Verdict::Unresolvable(error.to_string().into()); candidates.len()],
        };
        let mut result = ExtenderFilterResult::default();
        let mut passed = Vec::new();
        for (index, verdict) in verdicts.into_iter().enumerate() {
            let name = candidates[index].name;
            match verdict {
                Verdict::Pass => passed.push(index),
                Verdict::Failed(reason) => drop(result.failed_nodes.insert(name, reason)),
                Verdict::Unresolvable(reason) => drop(result.failed_and_unresolvable_nodes.insert(name, reason)),
            }
        }
        span.set("nodes.passed", passed.len().to_string());
        match &args.nodes {
            Some(list) if args.node_names.is_none() => {
                let items = list.items.as_deref().unwrap_or_default();
                let items = passed.iter().map(|index| items[*index]).collect();
                result.nodes = Some(NodeList {
                    metadata: list.metadata,
                    items: Some(items),
                });
            }
            _ => result.node_names = Some(passed.iter().map(|index| candidates[*index].name).collect()),
        }
        Ok(json(&result))
    }

    fn prioritize(&self, body: &[u8]) -> Result<Response, Bad> {
        let args: ExtenderArgs<'_> = decode(body)?;
        let nodes = Nodes::of(&args)?;
        let candidates = nodes.candidates();
        let _span = span("prioritize", &args.pod.metadata, Instant::now());
        let scores = match SourcePod::read(&args.pod) {
            Ok(pod) => self.index.prioritize(&pod, &candidates, Instant::now()),
            Err(_) => vec![0; candidates.len()],
        };
        let hosts = candidates.iter().zip(scores).map(|(candidate, score)| HostPriority {
            host: candidate.name,
            score,
        });
        Ok(json(&hosts.collect::<Vec<_>>()))
    }

    fn preempt(&self, body: &[u8]) -> Result<Response, Bad> {
        let args: ExtenderPreemptionArgs<'_> = decode(body)?;
        let full = args.node_name_to_victims.into_iter().flatten();
        let meta = args.node_name_to_meta_victims.into_iter().flatten();
        let nodes = full.map(|(node, victims)| (node, victims.into())).chain(meta);
        let mut result = ExtenderPreemptionResult::default();
        if let Ok(pod) = SourcePod::read(&args.pod) {
            let helps = |(node, victims): &(Cow<'_, str>, Victims<MetaPod>)| {
                let candidate = Candidate {
                    name: node,
                    labelled_virtual: false,
                };
                let victims = victims.pods.as_ref().map_or(0, Vec::len);
                self.index.preemption_helps(&pod, &candidate, victims, Instant::now())
            };
            result.node_name_to_meta_victims = nodes.filter(helps).collect();
        }
        Ok(json(&result))
    }

    /// The error to answer; empty when the pod is bound.
    async fn bind(&self, args: ExtenderBindingArgs) -> String {
        let start = Instant::now();
        let Some(binder) = &self.binder else {
            return "this extender has no cluster".into();
        };
        let request = BindRequest {
            namespace: args.pod_namespace,
            name: args.pod_name,
            uid: args.pod_uid,
            node: args.node,
        };
        let bound = binder.bind(request.clone()).await;
        let outcome = bound.as_ref().map_or_else(|error| error.outcome(), |()| "bound");
        self.metrics.binds.get_or_create(&BindLabels { outcome }).inc();
        let took = start.elapsed().as_secs_f64();
        self.metrics
            .bind_durations
            .get_or_create(&BindLabels { outcome })
            .observe(took);
        let error = bound.err().map(|error| error.to_string()).unwrap_or_default();
        let (namespace, pod, node) = (&request.namespace, &request.name, &request.node);
        tracing::info!(%namespace, %pod, %node, outcome, error, elapsed = ?start.elapsed(), "bind");
        error
    }
}

/// The nodes of a request, of either form.
enum Nodes<'a> {
    Names(&'a [Cow<'a, str>]),
    Heads(Vec<NodeHead>),
}

impl<'a> Nodes<'a> {
    fn of(args: &'a ExtenderArgs<'a>) -> Result<Self, Bad> {
        if let Some(names) = &args.node_names {
            return Ok(Self::Names(names));
        }
        let items = args
            .nodes
            .as_ref()
            .and_then(|list| list.items.as_deref())
            .unwrap_or_default();
        let heads = items.iter().map(|item| serde_json::from_str(item.get()));
        heads
            .collect::<Result<_, _>>()
            .map(Self::Heads)
            .map_err(|error| Bad(format!("Nodes: {error}")))
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        match self {
            Self::Names(names) => names
                .iter()
                .map(|name| Candidate {
                    name,
                    labelled_virtual: false,
                })
                .collect(),
            Self::Heads(heads) => heads.iter().map(candidate).collect(),
        }
    }
}

fn candidate(head: &NodeHead) -> Candidate<'_> {
    let labelled_virtual = head.metadata.labels.as_ref().is_some_and(is_virtual_node);
    Candidate {
        name: &head.metadata.name,
        labelled_virtual,
    }
}

async fn read(body: Body) -> Result<Bytes, Bad> {
    match tokio::time::timeout(BODY_TIME, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Bad(format!("body cut off or larger than {MAX_BODY} bytes: {error}"))),
        Err(_) => Err(Bad(format!("body not complete within {BODY_TIME:?}"))),
    }
}

fn decode<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Bad> {
    serde_json::from_slice(body).map_err(|error| Bad(format!("not what kube-scheduler sends an extender: {error}")))
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests;
