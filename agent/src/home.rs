//! What all links share: the source cluster, its proxy pods, and what is done to them there.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use multicluster_api::names;
use serde_json::json;

use crate::api_error;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::source::proxy_pods::{ProxyPod, ProxyPods};

/// The source cluster.
pub struct Home {
    /// A client for it.
    pub client: Client,
    /// What it is called in its targets.
    pub cluster_name: String,
    /// After how long without a heartbeat a target is given up.
    pub stale_after: Duration,
    /// Events go here.
    pub events: Events,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Its proxy pods.
    pub pods: ProxyPods,
    /// Pods (by UID) that may belong to no target.
    pub queue: Queue<String>,
}

impl Home {
    /// Delete a proxy pod, if it is still the same one.
    pub async fn delete_pod(&self, pod: &ProxyPod) -> Result<(), kube::Error> {
        let preconditions = Preconditions {
            uid: Some(pod.uid.clone()),
            ..Default::default()
        };
        let parameters = DeleteParams {
            preconditions: Some(preconditions),
            ..Default::default()
        };
        let pods = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace);
        api_error::ignore_gone(pods.delete(&pod.name, &parameters).await)
    }

    /// Take our finalizer off a proxy pod, and no other's.
    pub async fn remove_finalizer(&self, pod: &ProxyPod) -> Result<(), kube::Error> {
        if !pod.is_held() {
            return Ok(());
        }
        let left: Vec<_> = pod
            .finalizers
            .iter()
            .filter(|finalizer| *finalizer != names::FINALIZER)
            .collect();
        // The list is replaced as a whole: only if nobody else has changed the pod meanwhile.
        let metadata = json!({ "uid": pod.uid, "resourceVersion": pod.resource_version, "finalizers": left });
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let pods = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace);
        match pods.patch(&pod.name, &PatchParams::default(), &patch).await {
            Ok(_) => {
                self.metrics.finalizers_removed.inc();
                Ok(())
            }
            Err(error) if api_error::is_not_found(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
