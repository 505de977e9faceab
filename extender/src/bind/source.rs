//! The source cluster's API, as far as binding asks for it.

use std::future::Future;
use std::time::Duration;

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use multicluster_api::names;
use multicluster_api::raw::RawPod;
use serde_json::{Value, json};

use super::{BindError, BindRequest};
use crate::core::pod::attempted_in;

/// Longest wait for one answer of the source's API server.
const ANSWER: Duration = Duration::from_secs(10);
/// How often a pod is marked that somebody else is writing to at the same time.
const MARK_TRIES: usize = 3;

/// The source cluster.
#[derive(Clone)]
pub struct Source(pub Client);

/// How the API server took a Binding.
pub enum Bound {
    /// The pod is bound to the node.
    Yes,
    /// The pod is not, and never will be, bound to the node: why. Its delegate has no business any more.
    Never(BindError),
    /// Nobody knows.
    Unknown(BindError),
}

impl Source {
    fn pods(&self, request: &BindRequest) -> Api<RawPod> {
        Api::namespaced(self.0.clone(), &request.namespace)
    }

    /// The pod as it is now, not as a cache has it: deleted or bound pods must not get a delegate.
    pub async fn pod(&self, request: &BindRequest) -> Result<RawPod, BindError> {
        let pod = in_time(self.pods(request).get_opt(&request.name))
            .await?
            .map_err(unavailable)?;
        let pod = pod
            .filter(|pod| pod.metadata.uid.as_deref() == Some(&*request.uid))
            .ok_or(BindError::PodGone)?;
        match pod.metadata.deletion_timestamp {
            Some(_) => Err(BindError::PodDeleting),
            None => Ok(pod),
        }
    }

    /// Write on the pod where it is tried from now on. The pod must be as it was read: not deleted meanwhile, and not
    /// tried elsewhere by another replica.
    pub async fn mark_attempt(&self, request: &BindRequest, pod: &RawPod) -> Result<(), BindError> {
        let mut version = pod.metadata.resource_version.clone();
        for _ in 0..MARK_TRIES {
            let metadata = json!({
                "uid": request.uid,
                "resourceVersion": version,
                "annotations": { names::ATTEMPTED_IN: request.node },
            });
            let patch = Patch::Merge(json!({ "metadata": metadata }));
            let pods = self.pods(request);
            // By way of the status: the right to change that lets nobody change what a pod runs.
            let params = PatchParams::default();
            match in_time(pods.patch_status(&request.name, &params, &patch)).await? {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 404 => return Err(BindError::PodGone),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(unavailable(error)),
            }
            let now = self.pod(request).await?;
            if let Some(node) = now.node_name().or(changed(pod, &now)) {
                return Err(BindError::Busy(node.to_owned()));
            }
            version = now.metadata.resource_version;
        }
        Err(BindError::Source("the pod keeps changing".into()))
    }

    /// Bind the pod. A conflict may well be our own success, of which the answer was lost.
    pub async fn bind(&self, request: &BindRequest) -> Bound {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": request.name, "namespace": request.namespace, "uid": request.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": request.node},
        });
        let pods = self.pods(request);
        let post = PostParams::default();
        let answer = pods.create_subresource::<Value, Value>("binding", &request.name, &post, &binding);
        match in_time(answer).await {
            Ok(Ok(_)) => Bound::Yes,
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => self.look(request).await,
            Ok(Err(error)) => Bound::Unknown(unavailable(error)),
            Err(error) => Bound::Unknown(error),
        }
    }

    async fn look(&self, request: &BindRequest) -> Bound {
        match self.pod(request).await {
            Ok(pod) => match pod.node_name() {
                Some(node) if node == request.node => Bound::Yes,
                Some(node) => Bound::Never(BindError::BoundElsewhere(node.to_owned())),
                None => Bound::Unknown(BindError::Source("the binding was refused".into())),
            },
            Err(gone @ (BindError::PodGone | BindError::PodDeleting)) => Bound::Never(gone),
            Err(error) => Bound::Unknown(error),
        }
    }
}

/// Where somebody else has begun to try the pod.
fn changed<'a>(before: &RawPod, now: &'a RawPod) -> Option<&'a str> {
    attempted_in(&now.metadata).filter(|node| Some(*node) != attempted_in(&before.metadata))
}

fn unavailable(error: kube::Error) -> BindError {
    BindError::Source(error.to_string())
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, BindError> {
    let late = |_| BindError::Source(format!("no answer within {ANSWER:?}"));
    tokio::time::timeout(ANSWER, answer).await.map_err(late)
}
