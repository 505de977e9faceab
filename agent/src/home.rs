//! What all links share: the source cluster, its proxy pods, and what is done to them there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use multicluster_api::names;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::api_error;
use crate::events::Events;
use crate::leader::fence::Fence;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::source::exposure::gateways::Gateways;
use crate::source::following::hub::Following;
use crate::source::health::{Limits, Reach};
use crate::source::imports::index::Imports;
use crate::source::kubelet::endpoint::Endpoint;
use crate::source::mass_failure::MassFailure;
use crate::source::out_of_service::OutOfService;
use crate::source::proxy_pods::{ProxyPod, ProxyPods};

/// The source cluster.
pub struct Home {
    /// A client for it.
    pub client: Client,
    /// Clients for targets must be behind it.
    pub fence: Fence,
    /// What it is called in its targets.
    pub cluster_name: String,
    /// How long targets may take.
    pub limits: Limits,
    /// Whether most targets fail at once.
    pub mass_failure: Mutex<MassFailure>,
    /// Whether most targets are in doubt at once.
    pub mass_doubt: Mutex<MassFailure>,
    /// Events go here.
    pub events: Events,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Its proxy pods.
    pub pods: ProxyPods,
    /// What follows them to the targets.
    pub following: Arc<Following>,
    /// The UID of its namespace kube-system, if that is known.
    pub cluster_id: OnceCell<Option<String>>,
    /// Virtual nodes that an administrator has given up.
    pub out_of_service: OutOfService,
    /// The targets' Gateways.
    pub gateways: Gateways,
    /// Pods (by UID) that may belong to no target.
    pub queue: Queue<String>,
    /// What is exported to all clusters.
    pub imports: Imports,
    /// Where the virtual nodes' kubelet API is served, if it is.
    pub endpoint: Option<Endpoint>,
}

/// How long to wait before a question about the own cluster is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Home {
    /// The identity of the source, as its targets' identities are told; `None` when we may not know.
    pub async fn cluster_id(&self) -> Option<&str> {
        let ask = || async {
            loop {
                let namespaces = Api::<Namespace>::all(self.client.clone());
                match namespaces.get_metadata("kube-system").await {
                    Ok(namespace) => return namespace.metadata.uid,
                    Err(error) if api_error::is_denied(&error) => return None,
                    Err(error) => {
                        tracing::warn!(%error, "reading the namespace kube-system, whose UID names this cluster")
                    }
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        self.cluster_id.get_or_init(ask).await.as_deref()
    }

    /// What is seen of the way to a target. Returns whether the target is held: see [`MassFailure::see`].
    pub fn see_failure(&self, node: &str, cluster: &str, reach: Reach, answered_before: bool) -> bool {
        let mut mass_failure = self.mass_failure.lock();
        let held = mass_failure.see(node, cluster, reach, answered_before, Instant::now());
        self.metrics.mass_failure.set(i64::from(mass_failure.is_cut_off()));
        held
    }

    /// A target counts no longer.
    pub fn forget_failure(&self, node: &str) {
        self.mass_failure.lock().forget(node, Instant::now());
        self.mass_doubt.lock().forget(node, Instant::now());
    }

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
