//! Binding a pod: for a proxy pod, only after its delegate has found a node in the target.
//!
//! ```text
//! GET pod ─▶ delete chaperons elsewhere ─▶ assume ─▶ POST chaperon ─▶ wait on the watch ─┬▶ scheduled ─▶ POST Binding
//!                                                        │ 409: go on with it            ├▶ unschedulable ─▶ delete chaperon
//!                                                                                        └▶ neither in time: chaperon stays
//! ```
//!
//! A pod that must not run twice gets an annotation that says where it is tried, before its chaperon is made: whoever
//! comes later, and remembers nothing, keeps it from other targets until that one can be asked.
//!
//! Every step may be cut off, and the whole be called again for the same pod: the chaperon's name follows from the
//! pod's UID, and what exists already is gone on with.

mod chaperons;
mod error;
mod flights;
mod placement;
mod refusals;
mod source;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::PodSpec;
use kube::Client;
use multicluster_api::raw::RawPod;
use serde_json::Value;

pub use error::BindError;
pub use flights::{Flights, Outcome};
pub use refusals::Refusals;

use crate::core::pod::{InvalidPod, Wanted, is_proxy, is_unique};
use crate::index::Index;
use placement::Placement;
use source::{Bound, Source};

/// Which pod is to be bound where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindRequest {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID of the pod.
    pub uid: String,
    /// Name of the node.
    pub node: String,
}

/// How long binding may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Answer kube-scheduler after so long, while the target's scheduler has not decided. Below its `httpTimeout`.
    pub bind: Duration,
    /// Take a delegate that was not scheduled after so long for unschedulable. The files that it waits for have the same
    /// time before that.
    pub schedule: Duration,
}

/// Binds pods.
#[derive(Clone)]
pub struct Binder {
    source: Source,
    index: Arc<Index>,
    cluster: Arc<str>,
    limits: Limits,
    refusals: Refusals,
    flights: Flights,
}

impl Binder {
    /// Binds pods of the source cluster, which is called `cluster` in its targets.
    pub fn new(source: Client, index: Arc<Index>, cluster: &str, limits: Limits) -> Self {
        Self {
            refusals: Refusals::new(source.clone()),
            source: Source(source),
            index,
            cluster: cluster.into(),
            limits,
            flights: Flights::default(),
        }
    }

    /// Binds under way.
    pub fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Bind a pod. Several calls for one pod at a time get one answer.
    pub async fn bind(&self, request: BindRequest) -> Outcome {
        if [&request.namespace, &request.name, &request.uid, &request.node]
            .iter()
            .any(|part| part.is_empty())
        {
            return Err(BindError::Incomplete);
        }
        let start = || {
            let (binder, request) = (self.clone(), request.clone());
            async move { binder.run(&request).await }
        };
        self.flights.join(&request, start).await
    }

    async fn run(&self, request: &BindRequest) -> Outcome {
        let began = Instant::now();
        let pod = self.source.pod(request).await?;
        let mut span = crate::trace::span("bind", &pod.metadata, began);
        span.set("k8s.node.name", &*request.node);
        let bound = self.bind_pod(request, &pod, began + self.limits.bind).await;
        bound.inspect_err(|error| span.fail(error))
    }

    async fn bind_pod(&self, request: &BindRequest, pod: &RawPod, deadline: Instant) -> Outcome {
        match pod.node_name() {
            // The answer to the last try came too late, kubernetes/kubernetes#96579.
            Some(node) if node == request.node => return Ok(()),
            Some(node) => return Err(BindError::BoundElsewhere(node.to_owned())),
            None => {}
        }
        match (is_proxy(&pod.metadata), self.index.is_virtual_node(&request.node)) {
            (false, false) => self.bind_ordinary(request).await,
            (false, true) => Err(BindError::WrongNode(Index::not_elected())),
            (true, false) => Err(self.refused(request, crate::index::Refusal::Unknown)),
            (true, true) => self.place(request, pod, deadline).await,
        }
    }

    async fn bind_ordinary(&self, request: &BindRequest) -> Outcome {
        match self.source.bind(request).await {
            Bound::Yes => Ok(()),
            Bound::Never(error) | Bound::Unknown(error) => Err(error),
        }
    }

    async fn place(&self, request: &BindRequest, pod: &RawPod, deadline: Instant) -> Outcome {
        self.index
            .admits(&request.namespace, &request.uid)
            .map_err(|refusal| self.refused(request, refusal))?;
        let place = self.index.place(&request.node, &request.namespace, Instant::now());
        let placement = Placement {
            binder: self,
            request,
            pod,
            wanted: wanted(pod).map_err(|error| BindError::Invalid(Arc::new(error)))?,
            unique: is_unique(&pod.metadata),
            place: place.map_err(|refusal| self.refused(request, refusal))?,
            news: self.index.news(&request.uid),
            deadline,
        };
        placement.run().await
    }

    fn refused(&self, request: &BindRequest, refusal: crate::index::Refusal) -> BindError {
        BindError::Refused {
            target: request.node.clone(),
            refusal,
        }
    }
}

fn wanted(pod: &RawPod) -> Result<Wanted, InvalidPod> {
    let spec: PodSpec = serde_json::from_value(Value::Object(pod.spec.clone()))?;
    Wanted::read(&pod.metadata, &spec)
}
