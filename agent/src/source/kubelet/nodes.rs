//! Which delegate a pod has, from what the agent has seen itself: the pod's node in the source, and in the target the one
//! chaperon whose name follows from the pod's UID. Nothing of it is taken from who asks.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use multicluster_kubelet::nodes::{self, Delegate, NoDelegate, NoMetrics, PodRef};
use multicluster_upstream::Upstream;

use crate::home::Home;
use crate::source::fleet::Fleet;
use crate::source::proxy_pods::ProxyPod;

/// The virtual nodes of this agent.
pub struct Nodes {
    fleet: Arc<Fleet>,
    /// The way to this cluster, where it is its own target.
    own: Option<Upstream>,
}

impl Nodes {
    /// Of these targets.
    pub fn new(fleet: Arc<Fleet>, own: Option<Upstream>) -> Self {
        Self { fleet, own }
    }

    /// The source cluster.
    pub fn home(&self) -> &Arc<Home> {
        self.fleet.home()
    }

    fn pod(&self, pod: &PodRef<'_>) -> Option<Arc<ProxyPod>> {
        let known = self.home().pods.named(pod.namespace, pod.name)?;
        (pod.uid.is_none_or(|uid| uid == known.uid) && !known.node_name.is_empty()).then_some(known)
    }
}

impl nodes::Nodes for Nodes {
    fn names(&self) -> Vec<String> {
        self.fleet.node_names()
    }

    fn pods(&self, node: &str) -> Vec<Arc<Pod>> {
        let all = self.home().pods.all();
        let here = all.iter().filter(|pod| pod.node_name == node);
        here.map(|pod| Arc::new(shown(pod))).collect()
    }

    fn node_of(&self, pod: &PodRef<'_>) -> Option<String> {
        Some(self.pod(pod)?.node_name.clone())
    }

    fn delegate(&self, pod: &PodRef<'_>) -> Result<Delegate, NoDelegate> {
        let unknown = || NoDelegate::UnknownPod { pod: pod.to_string() };
        let known = self.pod(pod).ok_or_else(unknown)?;
        let link = self.fleet.link_of(&known.node_name).ok_or_else(unknown)?;
        link.delegate(&known, self.own.as_ref())
    }

    async fn resource_metrics(&self, node: &str) -> Result<String, NoMetrics> {
        self.fleet.resource_metrics(node).await
    }

    async fn summary(&self, node: &str) -> Result<String, NoMetrics> {
        self.fleet.stats_summary(node).await
    }
}

/// What is kept of a pod, as a pod.
fn shown(pod: &ProxyPod) -> Pod {
    Pod {
        metadata: ObjectMeta {
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.clone()),
            ..Default::default()
        },
        spec: Some(PodSpec {
            node_name: Some(pod.node_name.clone()),
            ..Default::default()
        }),
        status: Some(pod.status.clone()),
    }
}
