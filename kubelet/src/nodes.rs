//! What the kubelet API has to know, and the agent tells it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use multicluster_upstream::Upstream;

/// The virtual nodes of this process, the pods on them, and where their delegates are. All but the last two answer from
/// memory, at once.
pub trait Nodes: Send + Sync + 'static {
    /// Names of the virtual nodes.
    fn names(&self) -> Vec<String>;

    /// The pods on a virtual node, as the source has them.
    fn pods(&self, node: &str) -> Vec<Arc<Pod>>;

    /// The virtual node that a pod is on. Judged by what is known of the pod, never by what a caller says.
    fn node_of(&self, pod: &PodRef<'_>) -> Option<String>;

    /// The delegate of a pod.
    fn delegate(&self, pod: &PodRef<'_>) -> Result<Delegate, NoDelegate>;

    /// What the pods on a virtual node use, in the Prometheus text format of a kubelet's `/metrics/resource`.
    fn resource_metrics(&self, _node: &str) -> impl Future<Output = Result<String, NoMetrics>> + Send {
        std::future::ready(Err(NoMetrics::NotServed))
    }

    /// What the pods on a virtual node use, as a kubelet's `/stats/summary` says it, in JSON.
    fn summary(&self, _node: &str) -> impl Future<Output = Result<String, NoMetrics>> + Send {
        std::future::ready(Err(NoMetrics::NotServed))
    }
}

/// A pod of the source, as a path names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRef<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its UID, if the path has one: another pod of that name is not meant.
    pub uid: Option<&'a str>,
}

impl fmt::Display for PodRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod that does the work, and the way to it.
#[derive(Clone)]
pub struct Delegate {
    /// The target, as people know it.
    pub target: String,
    /// The target's API server, with the credentials of this moment.
    pub upstream: Upstream,
    /// Its namespace there.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

/// Why a pod has no delegate that anybody could talk to. `pod` is namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDelegate {
    /// There is no such pod on a virtual node of this process.
    #[error("pod {pod} is not on a virtual node of this cluster")]
    UnknownPod {
        /// Namespace and name.
        pod: String,
    },
    /// The target has not made it yet.
    #[error("pod {pod} has no delegate yet: wait until it runs")]
    NotYet {
        /// Namespace and name.
        pod: String,
    },
    /// It was there, and is not any more.
    #[error("the delegate of pod {pod} is gone")]
    Gone {
        /// Namespace and name.
        pod: String,
    },
    /// Nothing leads to the target at the moment.
    #[error("the target cluster \"{target}\" of pod {pod} is not connected")]
    NotConnected {
        /// Namespace and name.
        pod: String,
        /// The target.
        target: String,
    },
}

/// Why there are no metrics of a virtual node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMetrics {
    /// Nothing collects them.
    #[error("metrics of virtual nodes are not served")]
    NotServed,
    /// The target does not say, or cannot be asked; the text says more.
    #[error("{0}")]
    Unavailable(String),
}
