//! The chaperons of our proxy pods in one target.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use kube::ResourceExt;
use multicluster_api::chaperon::chaperon_name;
use multicluster_api::view::ChaperonView;
use multicluster_api::{PodChaperonStatus, fence, names};
use parking_lot::RwLock;

use crate::follow::Key;

/// What is kept of a chaperon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteChaperon {
    /// UID of the chaperon.
    pub uid: String,
    /// Its namespace and name.
    pub key: Key,
    /// Name of the proxy pod, as its annotation says.
    pub parent_name: String,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// After how long without a word of us its delegate is stopped.
    pub fence: Option<Duration>,
    /// The delegate's status.
    pub status: PodChaperonStatus,
}

/// The chaperons of one target, by the UID of their proxy pod.
#[derive(Debug, Default)]
pub struct Chaperons(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_parent: HashMap<String, RemoteChaperon>,
    parents: HashMap<Key, String>,
    /// Parents whose chaperon was seen, and seen going: it is certain that it is gone.
    seen_gone: HashSet<String>,
    listed: bool,
}

impl Chaperons {
    /// Take in a chaperon, if it came through this virtual node and has the name that follows from its proxy pod: anybody
    /// with rights in its namespace may write labels, but only one chaperon has the name. Returns the UID of the proxy pod.
    pub fn put(&self, object: &ChaperonView, virtual_node: &str) -> Option<String> {
        if object.annotations().get(names::VIRTUAL_NODE).map(String::as_str) != Some(virtual_node) {
            return None;
        }
        let parent = object.labels().get(names::PARENT_UID)?.clone();
        let parent_name = object.annotations().get(names::PARENT_NAME)?.clone();
        let key = (object.namespace().unwrap_or_default(), object.name_any());
        if key.1 != chaperon_name(&parent_name, &parent) {
            return None;
        }
        let chaperon = RemoteChaperon {
            uid: object.uid().unwrap_or_default(),
            key: key.clone(),
            parent_name,
            deleting: object.metadata.deletion_timestamp.is_some(),
            fence: fence::of(object.annotations()),
            status: object.status.clone().unwrap_or_default(),
        };
        let mut inner = self.0.write();
        inner.parents.insert(key, parent.clone());
        inner.seen_gone.remove(&parent);
        inner.by_parent.insert(parent.clone(), chaperon);
        Some(parent)
    }

    /// A chaperon is gone. Returns the UID of its proxy pod.
    pub fn remove(&self, key: &Key) -> Option<String> {
        let mut inner = self.0.write();
        let parent = inner.parents.remove(key)?;
        inner.by_parent.remove(&parent);
        inner.seen_gone.insert(parent.clone());
        Some(parent)
    }

    /// All chaperons that exist are known.
    pub fn set_listed(&self) {
        self.0.write().listed = true;
    }

    /// Are all chaperons that exist known?
    pub fn is_listed(&self) -> bool {
        self.0.read().listed
    }

    /// The chaperon of this proxy pod.
    pub fn get(&self, parent: &str) -> Option<RemoteChaperon> {
        self.0.read().by_parent.get(parent).cloned()
    }

    /// Was a chaperon of this proxy pod seen going?
    pub fn was_seen_going(&self, parent: &str) -> bool {
        self.0.read().seen_gone.contains(parent)
    }

    /// The proxy pod is gone: nobody will ask about it again.
    pub fn forget(&self, parent: &str) {
        self.0.write().seen_gone.remove(parent);
    }

    /// Chaperons that have a fence, and do not go.
    pub fn fenced(&self) -> Vec<(Key, Duration)> {
        let inner = self.0.read();
        let staying = inner.by_parent.values().filter(|chaperon| !chaperon.deleting);
        staying
            .filter_map(|chaperon| Some((chaperon.key.clone(), chaperon.fence?)))
            .collect()
    }

    /// UIDs of the proxy pods that have a chaperon here.
    pub fn parents(&self) -> Vec<String> {
        self.0.read().by_parent.keys().cloned().collect()
    }
}
