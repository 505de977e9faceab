//! All targets, as far as objects follow pods there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::follower::Follower;
use super::object::ObjectKey;
use super::recall::Others;

/// All targets, by their virtual nodes.
#[derive(Default)]
pub struct Followers(parking_lot::RwLock<BTreeMap<Arc<str>, Arc<Follower>>>);

impl Followers {
    /// A target is known.
    pub fn add(&self, follower: Arc<Follower>) {
        self.0.write().insert(follower.node.clone(), follower);
    }

    /// A target is gone.
    pub fn remove(&self, node: &str) {
        self.0.write().remove(node);
    }

    /// The one behind this virtual node.
    pub fn get(&self, node: &str) -> Option<Arc<Follower>> {
        self.0.read().get(node).cloned()
    }

    /// All of them, in order.
    pub fn all(&self) -> Vec<Arc<Follower>> {
        self.0.read().values().cloned().collect()
    }

    /// Those whose cluster needs an object that is needed behind `nodes`, or that have its copy.
    pub fn concerned(&self, key: &ObjectKey, nodes: &BTreeSet<Arc<str>>) -> Vec<Arc<Follower>> {
        let all = self.0.read();
        let needing = all.values().filter(|one| nodes.contains(&one.node));
        let clusters: HashSet<_> = needing.filter_map(|one| one.facts.lock().cluster_id.clone()).collect();
        let shares = |one: &Follower| {
            let facts = one.facts.lock();
            facts.cluster_id.as_ref().is_some_and(|id| clusters.contains(id))
        };
        let concerned = |one: &&Arc<Follower>| nodes.contains(&one.node) || shares(one) || one.copies.contains(key);
        all.values().filter(concerned).cloned().collect()
    }

    /// What targets other than the one behind `node` look after in a cluster. One without an identity is taken for a
    /// cluster of its own.
    pub fn others(&self, node: &str, cluster: Option<&str>) -> Others {
        let all = self.0.read();
        let others = all
            .values()
            .filter(|one| &*one.node != node && cluster.is_some() && one.facts.lock().cluster_id.as_deref() == cluster);
        others.map(|one| one.namespace.as_deref()).collect()
    }

    /// Those that lead to the same cluster as this one, itself included, in order.
    pub fn mates(&self, follower: &Arc<Follower>) -> Vec<Arc<Follower>> {
        let Some(id) = follower.facts().cluster_id else {
            return vec![follower.clone()];
        };
        let all = self.0.read();
        let same = |other: &&Arc<Follower>| {
            Arc::ptr_eq(other, follower) || other.facts.lock().cluster_id.as_deref() == Some(id.as_str())
        };
        all.values().filter(same).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::follower::Facts;
    use super::*;
    use crate::queue_metrics::QueueMetrics;

    fn follower(node: &str, cluster: Option<&str>) -> Arc<Follower> {
        let facts = Facts {
            cluster_id: cluster.map(Into::into),
            ..Facts::default()
        };
        Arc::new(Follower::new(node, None, facts, &QueueMetrics::default()))
    }

    #[test]
    fn targets_of_one_cluster_know_one_another() {
        let followers = Followers::default();
        let all = [
            follower("a", Some("x")),
            follower("b", Some("y")),
            follower("c", Some("x")),
            follower("d", None),
            follower("e", None),
        ];
        all.iter().for_each(|one| followers.add(one.clone()));
        let mates = |one| {
            followers
                .mates(one)
                .iter()
                .map(|mate| mate.node.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(mates(&all[2]), ["a", "c"]);
        assert_eq!(mates(&all[1]), ["b"]);
        // Nobody knows whether these are one.
        assert_eq!(mates(&all[3]), ["d"]);
        assert!(followers.others("a", Some("x")).look_after("any"));
        for (node, cluster) in [("b", Some("y")), ("d", None)] {
            assert!(!followers.others(node, cluster).look_after("any"), "{node}");
        }
    }
}
