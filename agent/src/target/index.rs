//! What the target side keeps of chaperons and delegates, by the name that both share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use multicluster_api::view::PodView;
use multicluster_api::{PodChaperon, PodChaperonStatus, fence, names};

use super::fence::{Circle, Fence, Silences};

/// Namespace and name.
pub type Key = (String, String);

/// What is kept of a chaperon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chaperon {
    /// UID of the chaperon.
    pub uid: String,
    /// When it was asked to go.
    pub deletion: Option<Time>,
    /// The restart policy is Always.
    pub restarts: bool,
    /// Of which source, and where.
    pub circle: Circle,
    /// After how long without a word of its source the delegate is stopped.
    pub fence: Option<Duration>,
    /// The last heartbeat of ours that the source has shown to have seen, with this chaperon.
    pub heard: Option<Timestamp>,
    /// How long the delegate may take to stop.
    pub grace: Duration,
    /// Annotations, which are the delegate's too.
    pub annotations: BTreeMap<String, String>,
    /// The status as last read or written.
    pub status: PodChaperonStatus,
    /// For comparing which of two versions is newer.
    pub resource_version: String,
    /// The whole object, as long as the delegate has to be made of it.
    pub whole: Option<Arc<PodChaperon>>,
}

/// What is kept of a delegate pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delegate {
    /// UID of the pod.
    pub uid: String,
    /// UID of the chaperon that owns it.
    pub owner_uid: String,
    /// The version this was read at.
    pub resource_version: String,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// When it was asked to go.
    pub deletion_timestamp: Option<Time>,
    /// The node it is bound to, or empty.
    pub node_name: String,
    /// All annotations.
    pub annotations: BTreeMap<String, String>,
    /// The status as last read.
    pub status: PodStatus,
    /// When it was first seen on its node.
    pub bound: Option<Instant>,
}

impl From<PodChaperon> for Chaperon {
    fn from(object: PodChaperon) -> Self {
        let policy = object.spec.pod.get("restartPolicy").and_then(serde_json::Value::as_str);
        let seconds = object
            .spec
            .pod
            .get("terminationGracePeriodSeconds")
            .and_then(serde_json::Value::as_u64);
        let echoed = object
            .annotations()
            .get(names::HEARD)
            .and_then(|text| fence::parse_heartbeat(text));
        // Of an extender that does not echo: who made the chaperon was alive.
        let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        Self {
            circle: Circle {
                namespace: object.namespace().unwrap_or_default(),
                cluster: object
                    .labels()
                    .get(names::PARENT_CLUSTER_NAME)
                    .cloned()
                    .unwrap_or_default(),
            },
            fence: fence::of(object.annotations()),
            heard: echoed.or(created),
            grace: seconds.map_or(fence::DEFAULT_GRACE, Duration::from_secs),
            uid: object.uid().unwrap_or_default(),
            deletion: object.metadata.deletion_timestamp.clone(),
            restarts: policy.is_none_or(|policy| policy == "Always"),
            annotations: object.annotations().clone(),
            status: object.status.clone().unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
            whole: Some(Arc::new(object)),
        }
    }
}

impl Delegate {
    /// A pod that a chaperon owns; `None` for all others.
    pub fn of(pod: PodView) -> Option<Self> {
        if !pod.labels().contains_key(names::PARENT_UID) {
            return None;
        }
        let owner = pod
            .owner_references()
            .iter()
            .find(|owner| owner.kind == "PodChaperon")?;
        Some(Self {
            uid: pod.uid().unwrap_or_default(),
            owner_uid: owner.uid.clone(),
            resource_version: pod.resource_version().unwrap_or_default(),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            deletion_timestamp: pod.metadata.deletion_timestamp.clone(),
            annotations: pod.annotations().clone(),
            node_name: pod.spec.node_name,
            status: pod.status,
            bound: None,
        })
    }
}

/// Chaperons and delegates by namespace and name.
#[derive(Debug, Default)]
pub struct Index {
    /// Chaperons.
    pub chaperons: HashMap<Key, Chaperon>,
    /// Delegates.
    pub delegates: HashMap<Key, Delegate>,
    /// All chaperons that exist are known.
    pub chaperons_listed: bool,
    /// All pods that exist are known.
    pub pods_listed: bool,
    /// When sources were heard last.
    pub silences: Silences,
}

impl Index {
    /// Take in a chaperon, unless a newer version of it is known: the answer to a write may come before its event.
    pub fn put_chaperon(&mut self, key: Key, mut chaperon: Chaperon) {
        if let (Some(_), Some(heard)) = (chaperon.fence, chaperon.heard) {
            self.silences
                .hear(chaperon.circle.clone(), heard, Timestamp::now(), Instant::now());
        }
        if self.delegates.contains_key(&key) {
            chaperon.whole = None;
        }
        match self.chaperons.get(&key) {
            Some(known) if known.uid == chaperon.uid && newer(&known.resource_version, &chaperon.resource_version) => {}
            _ => {
                self.chaperons.insert(key, chaperon);
            }
        }
    }

    /// A chaperon is gone.
    pub fn remove_chaperon(&mut self, key: &Key) {
        let Some(gone) = self.chaperons.remove(key).filter(|gone| gone.fence.is_some()) else {
            return;
        };
        let mut others = self.chaperons.values();
        if !others.any(|other| other.fence.is_some() && other.circle == gone.circle) {
            self.silences.forget(&gone.circle);
        }
    }

    /// How the fence of a chaperon stands.
    pub fn fence(&self, key: &Key, now: Instant) -> Fence {
        let chaperon = self.chaperons.get(key);
        chaperon.map_or(Fence::None, |chaperon| {
            self.silences.fence(&chaperon.circle, chaperon.fence, now)
        })
    }

    /// Take in a delegate, unless a newer version of it is known.
    pub fn put_delegate(&mut self, key: Key, mut delegate: Delegate) {
        if let Some(chaperon) = self.chaperons.get_mut(&key) {
            chaperon.whole = None;
        }
        let known = self.delegates.get(&key).filter(|known| known.uid == delegate.uid);
        if !delegate.node_name.is_empty() {
            delegate.bound = known.and_then(|known| known.bound).or_else(|| Some(Instant::now()));
        }
        match self.delegates.get(&key) {
            Some(known) if known.uid == delegate.uid && newer(&known.resource_version, &delegate.resource_version) => {}
            _ => {
                self.delegates.insert(key, delegate);
            }
        }
    }
}

/// Is version `a` newer than `b`? resourceVersions of one resource compare as integers (KEP-5504).
pub fn newer(a: &str, b: &str) -> bool {
    matches!((a.parse::<u64>(), b.parse::<u64>()), (Ok(a), Ok(b)) if a > b)
}
