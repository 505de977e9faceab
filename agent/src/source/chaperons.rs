//! The chaperons of our proxy pods in one target.
//!
//! Whose chaperon it is, its label says; and others than this cluster may write chaperons in the target, each in the
//! namespaces that it serves. So a chaperon counts for a pod of its own namespace only: who may write in one namespace of
//! the target cannot speak for a pod of another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use multicluster_api::chaperon::chaperon_name;
use multicluster_api::view::ChaperonView;
use multicluster_api::{PodChaperonStatus, fence, names};
use parking_lot::RwLock;

use crate::changes::Key;

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
    /// Its delegate waits for ConfigMaps and Secrets.
    pub awaits_files: bool,
    /// After how long without a word of us its delegate is stopped.
    pub fence: Option<Duration>,
    /// The delegate's status.
    pub status: PodChaperonStatus,
    /// When this status was first seen.
    pub seen: Option<Instant>,
}

/// The chaperons of one target, by the UID and the namespace of their proxy pod.
#[derive(Debug, Default)]
pub struct Chaperons(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By UID, then by namespace; more than one namespace only when somebody made one up.
    by_parent: HashMap<String, BTreeMap<String, RemoteChaperon>>,
    parents: HashMap<Key, String>,
    /// Parents whose chaperon was seen, and seen going: it is certain that it is gone. By UID; the namespaces.
    seen_gone: HashMap<String, HashSet<String>>,
    listed: bool,
}

impl Inner {
    /// Forget this chaperon of the pod, unless another one of its namespace has taken its place.
    fn drop_of(&mut self, parent: &str, key: &Key) -> bool {
        let Some(of_parent) = self.by_parent.get_mut(parent) else {
            return false;
        };
        let dropped = of_parent.get(&key.0).is_some_and(|chaperon| chaperon.key == *key);
        if dropped {
            of_parent.remove(&key.0);
        }
        if of_parent.is_empty() {
            self.by_parent.remove(parent);
        }
        dropped
    }
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
        let mut chaperon = RemoteChaperon {
            uid: object.uid().unwrap_or_default(),
            key: key.clone(),
            parent_name,
            deleting: object.metadata.deletion_timestamp.is_some(),
            awaits_files: object.annotations().contains_key(names::AWAITS_FILES)
                && !object.annotations().contains_key(names::FILES_REFUSED),
            fence: fence::of(object.annotations()),
            status: object.status.clone().unwrap_or_default(),
            seen: Some(Instant::now()),
        };
        let mut inner = self.0.write();
        if let Some(gone) = inner.seen_gone.get_mut(&parent) {
            gone.remove(&key.0);
        }
        let of_parent = inner.by_parent.entry(parent.clone()).or_default();
        if let Some(before) = of_parent.get(&key.0).filter(|old| old.status == chaperon.status) {
            chaperon.seen = before.seen;
        }
        of_parent.insert(key.0.clone(), chaperon);
        let before = inner.parents.insert(key.clone(), parent.clone());
        // A label can be changed: it speaks for one pod at a time.
        if let Some(before) = before.filter(|before| *before != parent) {
            inner.drop_of(&before, &key);
        }
        Some(parent)
    }

    /// A chaperon is gone. Returns the UID of its proxy pod.
    pub fn remove(&self, key: &Key) -> Option<String> {
        let mut inner = self.0.write();
        let parent = inner.parents.remove(key)?;
        if inner.drop_of(&parent, key) {
            let gone = inner.seen_gone.entry(parent.clone()).or_default();
            gone.insert(key.0.clone());
        }
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

    /// The chaperon of this proxy pod, which lives in `namespace`.
    pub fn get(&self, parent: &str, namespace: &str) -> Option<RemoteChaperon> {
        self.0.read().by_parent.get(parent)?.get(namespace).cloned()
    }

    /// Is there a chaperon of this proxy pod, which lives in `namespace`?
    pub fn contains(&self, parent: &str, namespace: &str) -> bool {
        let inner = self.0.read();
        inner
            .by_parent
            .get(parent)
            .is_some_and(|of_parent| of_parent.contains_key(namespace))
    }

    /// Does the chaperon of this proxy pod wait for ConfigMaps and Secrets?
    pub fn awaits_files(&self, parent: &str, namespace: &str) -> bool {
        let inner = self.0.read();
        let chaperon = inner
            .by_parent
            .get(parent)
            .and_then(|of_parent| of_parent.get(namespace));
        chaperon.is_some_and(|chaperon| chaperon.awaits_files && !chaperon.deleting)
    }

    /// All that say they are the chaperon of this proxy pod.
    pub fn all_of(&self, parent: &str) -> Vec<RemoteChaperon> {
        let inner = self.0.read();
        let of_parent = inner.by_parent.get(parent).into_iter();
        of_parent.flat_map(BTreeMap::values).cloned().collect()
    }

    /// Was a chaperon of this proxy pod seen going?
    pub fn was_seen_going(&self, parent: &str, namespace: &str) -> bool {
        let inner = self.0.read();
        inner
            .seen_gone
            .get(parent)
            .is_some_and(|namespaces| namespaces.contains(namespace))
    }

    /// The proxy pod is gone: nobody will ask about it again.
    pub fn forget(&self, parent: &str) {
        self.0.write().seen_gone.remove(parent);
    }

    /// Chaperons that have a fence, and do not go.
    pub fn fenced(&self) -> Vec<(Key, Duration)> {
        let inner = self.0.read();
        let all = inner.by_parent.values().flat_map(BTreeMap::values);
        let staying = all.filter(|chaperon| !chaperon.deleting);
        staying
            .filter_map(|chaperon| Some((chaperon.key.clone(), chaperon.fence?)))
            .collect()
    }

    /// UIDs of the proxy pods that have a chaperon here.
    pub fn parents(&self) -> Vec<String> {
        self.0.read().by_parent.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NODE: &str = "admiralty-eu";

    /// The chaperon of a pod with UID "u".
    fn chaperon(namespace: &str, pod: &str) -> ChaperonView {
        let name = chaperon_name(pod, "u");
        serde_json::from_value(json!({"metadata": {
            "namespace": namespace, "name": name, "uid": format!("{namespace}-{pod}"),
            "labels": {names::PARENT_UID: "u"},
            "annotations": {names::VIRTUAL_NODE: NODE, names::PARENT_NAME: pod},
        }}))
        .unwrap()
    }

    fn key(namespace: &str, pod: &str) -> Key {
        (namespace.into(), chaperon_name(pod, "u"))
    }

    #[test]
    fn a_chaperon_speaks_for_pods_of_its_own_namespace_only() {
        let chaperons = Chaperons::default();
        chaperons.put(&chaperon("shop", "web"), NODE);
        chaperons.put(&chaperon("other", "web"), NODE);
        assert_eq!(chaperons.get("u", "shop").unwrap().key, key("shop", "web"));
        chaperons.remove(&key("other", "web"));
        assert!(chaperons.get("u", "shop").is_some() && !chaperons.was_seen_going("u", "shop"));
        chaperons.remove(&key("shop", "web"));
        assert!(chaperons.get("u", "shop").is_none() && chaperons.was_seen_going("u", "shop"));
        assert!(chaperons.parents().is_empty());
        chaperons.put(&chaperon("other", "web"), NODE);
        assert!(chaperons.was_seen_going("u", "shop"));
    }

    #[test]
    fn the_end_of_one_that_was_replaced_says_nothing() {
        let chaperons = Chaperons::default();
        chaperons.put(&chaperon("shop", "first"), NODE);
        chaperons.put(&chaperon("shop", "second"), NODE);
        chaperons.remove(&key("shop", "first"));
        assert!(chaperons.get("u", "shop").is_some() && !chaperons.was_seen_going("u", "shop"));
    }

    #[test]
    fn a_label_that_is_changed_does_not_speak_for_another_pod() {
        let chaperons = Chaperons::default();
        let mut object = chaperon("shop", "web");
        chaperons.put(&object, NODE);
        let labels = object.metadata.labels.as_mut().unwrap();
        labels.insert(names::PARENT_UID.into(), "v".into());
        assert_eq!(chaperons.put(&object, NODE), None);
        assert!(chaperons.get("v", "shop").is_none());
    }

    #[test]
    fn those_of_another_virtual_node_are_not_ours() {
        let chaperons = Chaperons::default();
        assert_eq!(chaperons.put(&chaperon("shop", "web"), "admiralty-us"), None);
        assert_eq!(chaperons.put(&ChaperonView::default(), NODE), None);
    }

    #[test]
    fn only_the_name_that_follows_from_the_pod_counts() {
        let named = |name: &str, node: &str| -> ChaperonView {
            serde_json::from_value(json!({ "metadata": {
                "name": name, "namespace": "n", "uid": "c",
                "labels": { names::PARENT_UID: "1" },
                "annotations": { names::PARENT_NAME: "a", names::VIRTUAL_NODE: node },
            }}))
            .unwrap()
        };
        let chaperons = Chaperons::default();
        let (ours, name) = ("admiralty-eu", chaperon_name("a", "1"));
        // Labels can be copied by anybody.
        for (name, node) in [("another", ours), (name.as_str(), "admiralty-us")] {
            assert_eq!(chaperons.put(&named(name, node), ours), None);
        }
        assert_eq!(chaperons.put(&named(&name, ours), ours), Some("1".into()));
        chaperons.remove(&("n".into(), "another".into()));
        assert!(chaperons.get("1", "n").is_some() && !chaperons.was_seen_going("1", "n"));
    }
}
