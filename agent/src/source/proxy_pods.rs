//! The proxy pods of this cluster, as far as the agent needs to know them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, PodStatus};
use kube::ResourceExt;
use multicluster_api::options::SourceManifest;
use multicluster_api::view::{ContainerView, PodView};
use multicluster_api::{fence, names};
use parking_lot::RwLock;

use super::following::needs::pool::Pool;
use super::ports::{NamedPort, NamedPorts, named_ports};
use crate::changes::Key;

/// What is kept of a proxy pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyPod {
    /// UID.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The node it is bound to, or empty.
    pub node_name: String,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// That timestamp.
    pub deleted: Option<Timestamp>,
    /// All finalizers.
    pub finalizers: Vec<String>,
    /// The virtual node where the extender last tried it, if it must not run twice.
    pub attempted_in: String,
    /// When it was first seen to be where it is: bound to this node, or tried there.
    pub placed: Option<Instant>,
    /// How its target stops it, when it is fenced.
    pub fence: Option<Fence>,
    /// Annotations that are not ours.
    pub annotations: BTreeMap<String, String>,
    /// The trace that it is part of.
    pub traceparent: Option<String>,
    /// Names of the containers, init containers and ephemeral containers.
    pub containers: Vec<String>,
    /// The names that its containers give to ports.
    pub ports: NamedPorts,
    /// Its name in DNS, and the Service below which it has it.
    pub dns_name: Option<Box<(String, String)>>,
    /// The status as last read or written.
    pub status: PodStatus,
    /// Version of the pod.
    pub resource_version: String,
}

/// How a target stops a delegate of which its source has fallen silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// After so long.
    pub after: Duration,
    /// The delegate may take this time to stop.
    pub grace: Duration,
}

impl Fence {
    fn of(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let after = fence::of(annotations)?;
        let saved = annotations.get(names::SOURCE_POD_MANIFEST);
        let saved = saved.and_then(|text| SourceManifest::parse(text).ok());
        let grace = saved.and_then(|saved| saved.termination_grace_period_seconds);
        let grace = grace.map_or(fence::DEFAULT_GRACE, |seconds| {
            Duration::from_secs(seconds.try_into().unwrap_or_default())
        });
        Some(Self { after, grace })
    }
}

impl ProxyPod {
    /// The virtual node whose target may have its delegate: the one that it is bound to, or was tried on.
    pub fn whereabouts(&self) -> &str {
        if self.node_name.is_empty() {
            &self.attempted_in
        } else {
            &self.node_name
        }
    }

    /// For events about it.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            ..Default::default()
        }
    }

    /// Does our finalizer hold it?
    pub fn is_held(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == names::FINALIZER)
    }
}

impl From<PodView> for ProxyPod {
    fn from(pod: PodView) -> Self {
        let fence = Fence::of(pod.annotations());
        let attempted_in = pod.annotations().get(names::ATTEMPTED_IN).cloned().unwrap_or_default();
        let annotations = pod.annotations().iter().filter(|(key, _)| !names::is_ours(key));
        let names = |containers: Vec<ContainerView>| containers.into_iter().map(|container| container.name);
        Self {
            uid: pod.uid().unwrap_or_default(),
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            attempted_in,
            placed: None,
            fence,
            deleted: pod.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            finalizers: pod.finalizers().to_vec(),
            traceparent: pod.annotations().get(names::TRACEPARENT).cloned(),
            annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
            resource_version: pod.resource_version().unwrap_or_default(),
            ports: named_ports(&pod.spec),
            dns_name: pod.spec.hostname.zip(pod.spec.subdomain).map(Box::new),
            node_name: pod.spec.node_name,
            containers: names(pod.spec.containers)
                .chain(names(pod.spec.init_containers))
                .chain(names(pod.spec.ephemeral_containers))
                .collect(),
            status: pod.status,
        }
    }
}

/// All proxy pods, by UID.
#[derive(Debug, Default)]
pub struct ProxyPods(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pods: HashMap<String, Arc<ProxyPod>>,
    uids: HashMap<Key, String>,
    ports: Pool<[NamedPort]>,
    listed: bool,
}

impl ProxyPods {
    /// Take in a pod. Returns the UID of the pod that had its name before, if that was another one.
    pub fn put(&self, mut pod: ProxyPod) -> Option<String> {
        let mut inner = self.0.write();
        pod.ports = inner.ports.get(pod.ports);
        let known = inner.pods.get(&pod.uid);
        let placed = known.filter(|known| known.whereabouts() == pod.whereabouts());
        pod.placed = placed.map_or_else(|| Some(Instant::now()), |known| known.placed);
        let key = (pod.namespace.clone(), pod.name.clone());
        let replaced = inner.uids.insert(key, pod.uid.clone()).filter(|uid| *uid != pod.uid);
        if let Some(uid) = &replaced {
            inner.pods.remove(uid);
        }
        let newer = |known: &Arc<ProxyPod>| crate::target::index::newer(&known.resource_version, &pod.resource_version);
        if !inner.pods.get(&pod.uid).is_some_and(newer) {
            inner.pods.insert(pod.uid.clone(), Arc::new(pod));
        }
        replaced
    }

    /// A pod is gone. Returns its UID.
    pub fn remove(&self, key: &Key) -> Option<String> {
        let mut inner = self.0.write();
        let uid = inner.uids.remove(key)?;
        inner.pods.remove(&uid);
        Some(uid)
    }

    /// All pods that exist are known.
    pub fn set_listed(&self) {
        self.0.write().listed = true;
    }

    /// Are all pods that exist known?
    pub fn is_listed(&self) -> bool {
        self.0.read().listed
    }

    /// The pod with this UID.
    pub fn get(&self, uid: &str) -> Option<Arc<ProxyPod>> {
        self.0.read().pods.get(uid).cloned()
    }

    /// The pod of this name.
    pub fn named(&self, namespace: &str, name: &str) -> Option<Arc<ProxyPod>> {
        let inner = self.0.read();
        let uid = inner.uids.get(&(namespace.to_owned(), name.to_owned()))?;
        inner.pods.get(uid).cloned()
    }

    /// All pods.
    pub fn all(&self) -> Vec<Arc<ProxyPod>> {
        self.0.read().pods.values().cloned().collect()
    }

    /// UIDs of all pods.
    pub fn uids(&self) -> Vec<String> {
        self.0.read().pods.keys().cloned().collect()
    }
}
