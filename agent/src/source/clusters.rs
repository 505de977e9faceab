//! Which cluster is behind each target. Two Targets may lead to one cluster, and what is there for both of them does not go
//! with one.

use std::collections::{BTreeSet, HashMap};

use multicluster_api::TargetRef;
use parking_lot::Mutex;

/// The clusters behind all targets, by their identities.
#[derive(Debug, Default)]
pub struct Clusters(Mutex<HashMap<TargetRef, String>>);

/// What other targets look after in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    everywhere: bool,
    namespaces: BTreeSet<String>,
}

impl Others {
    /// Does another target look after this namespace?
    pub fn look_after(&self, namespace: &str) -> bool {
        self.everywhere || self.namespaces.contains(namespace)
    }
}

impl Clusters {
    /// The target is known to lead to this cluster.
    pub fn leads_to(&self, target: &TargetRef, cluster: &str) {
        self.0.lock().insert(target.clone(), cluster.to_owned());
    }

    /// The target is gone.
    pub fn forget(&self, target: &TargetRef) {
        self.0.lock().remove(target);
    }

    /// What targets other than this one look after in a cluster. One without an identity is taken for a cluster of its own.
    pub fn others(&self, target: &TargetRef, cluster: Option<&str>) -> Others {
        let mut others = Others::default();
        for (other, id) in &*self.0.lock() {
            if other == target || Some(id.as_str()) != cluster {
                continue;
            }
            match &other.namespace {
                Some(namespace) => drop(others.namespaces.insert(namespace.clone())),
                None => others.everywhere = true,
            }
        }
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_target_serves_in_the_same_cluster_is_looked_after() {
        let (all, one, two) = (
            TargetRef::cluster("eu"),
            TargetRef::namespaced("one", "eu"),
            TargetRef::namespaced("two", "eu"),
        );
        let clusters = Clusters::default();
        clusters.leads_to(&all, "a");
        clusters.leads_to(&one, "a");
        clusters.leads_to(&two, "b");
        let others = clusters.others(&all, Some("a"));
        assert!(others.look_after("one") && !others.look_after("two") && !others.look_after("three"));
        assert!(clusters.others(&one, Some("a")).look_after("three"));
        assert_eq!(clusters.others(&two, Some("b")), Others::default());
        assert_eq!(clusters.others(&all, None), Others::default());
        clusters.forget(&all);
        assert_eq!(clusters.others(&one, Some("a")), Others::default());
    }
}
