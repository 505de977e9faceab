//! What this cluster has, kept up with every change of a node or a pod. Pure.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use multicluster_api::quantity::ResourceList;
use multicluster_api::resources::{Resources, view_requests};
use multicluster_api::view::PodView;
use multicluster_api::{ClusterSummaryFields, NodeEntry, NodeSummaryFields, names};

use crate::changes::Key;

/// Nodes that a shard should hold: far from etcd's limit of an object's size, and cheap to write every second.
const NODES_PER_SHARD: usize = 200;

/// Nodes, and what the pods on them request.
#[derive(Default)]
pub struct Summary {
    nodes: BTreeMap<String, NodeState>,
    pods: HashMap<Key, (String, Resources)>,
    /// The newest resourceVersion of a pod that is counted.
    pods_resource_version: u64,
    shards: usize,
    dirty: BTreeSet<usize>,
}

#[derive(Default)]
struct NodeState {
    /// `None` while only pods on it have been seen.
    node: Option<NodeEntry>,
    capacity: Resources,
    allocatable: Resources,
    requested: Resources,
}

impl Summary {
    /// A node is new or changed.
    pub fn put_node(&mut self, node: &Node) {
        let name = node.name_any();
        let virtual_node = multicluster_api::virtual_node::is_virtual_node(node.labels());
        if virtual_node {
            // A cluster that is a source too must not offer its targets' capacity as its own.
            return self.remove_node(&name);
        }
        let parsed = (
            parse(node, |s| s.capacity.clone()),
            parse(node, |s| s.allocatable.clone()),
        );
        let state = self.nodes.entry(name.clone()).or_default();
        let entry = entry(node);
        if state.node.as_ref() == Some(&entry) && (&state.capacity, &state.allocatable) == (&parsed.0, &parsed.1) {
            return;
        }
        state.node = Some(entry);
        (state.capacity, state.allocatable) = parsed;
        self.touch(&name);
        self.reshard();
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &str) {
        let Some(state) = self.nodes.get_mut(name) else { return };
        state.node = None;
        if state.requested == Resources::default() {
            self.nodes.remove(name);
        }
        self.touch(name);
        self.reshard();
    }

    /// A pod is new or changed.
    pub fn put_pod(&mut self, key: &Key, pod: &PodView) {
        if let Some(version) = pod.resource_version().and_then(|version| version.parse().ok()) {
            self.pods_resource_version = self.pods_resource_version.max(version);
        }
        let placed = placed(pod);
        if self.pods.get(key) == placed.as_ref() {
            return;
        }
        self.remove_pod(key);
        let Some((node, requests)) = placed else { return };
        let state = self.nodes.entry(node.clone()).or_default();
        state.requested.add(&requests);
        self.touch(&node);
        self.pods.insert(key.clone(), (node, requests));
    }

    /// A pod is gone.
    pub fn remove_pod(&mut self, key: &Key) {
        let Some((node, requests)) = self.pods.remove(key) else {
            return;
        };
        if let Some(state) = self.nodes.get_mut(&node) {
            state.requested.sub(&requests);
            state.requested.extended.retain(|_, amount| *amount != 0);
            if state.node.is_none() && state.requested == Resources::default() {
                self.nodes.remove(&node);
            }
        }
        self.touch(&node);
    }

    fn touch(&mut self, node: &str) {
        if self.shards > 0 {
            self.dirty.insert(shard_of(node, self.shards));
        }
    }

    /// Double or halve the shards with the nodes; with slack, so that a node that comes and goes does not.
    fn reshard(&mut self) {
        let nodes = self.nodes.values().filter(|state| state.node.is_some()).count();
        let wanted = nodes.div_ceil(NODES_PER_SHARD).max(1).next_power_of_two();
        if wanted > self.shards || wanted * 4 <= self.shards {
            self.shards = wanted;
            self.dirty = (0..wanted).collect();
        }
    }

    /// Number of shards.
    pub fn shard_count(&self) -> usize {
        self.shards.max(1)
    }

    /// The shards that changed since the last call.
    pub fn take_dirty(&mut self) -> BTreeSet<usize> {
        if self.shards == 0 {
            self.reshard();
        }
        std::mem::take(&mut self.dirty)
    }

    /// This shard could not be written: it is still to do.
    pub fn mark_dirty(&mut self, shard: usize) {
        self.dirty.insert(shard);
    }

    /// What a shard should say.
    pub fn shard(&self, shard: usize) -> NodeSummaryFields {
        let count = self.shard_count();
        let nodes = self.nodes.iter().filter(|(name, _)| shard_of(name, count) == shard);
        NodeSummaryFields {
            pods_resource_version: self.pods_resource_version.to_string(),
            nodes: nodes
                .filter_map(|(_, state)| {
                    let mut entry = state.node.clone()?;
                    entry.requested = state.requested.to_list();
                    Some(entry)
                })
                .collect(),
        }
    }

    /// The sums over all nodes, and the labels that have one value on all of them.
    pub fn cluster(&self) -> ClusterSummaryFields {
        let (mut capacity, mut allocatable) = (Resources::default(), Resources::default());
        let mut labels: Option<BTreeMap<String, String>> = None;
        for state in self.nodes.values() {
            let Some(node) = &state.node else { continue };
            capacity.add(&state.capacity);
            allocatable.add(&state.allocatable);
            match &mut labels {
                None => labels = Some(node.labels.clone()),
                Some(common) => common.retain(|key, value| node.labels.get(key) == Some(value)),
            }
        }
        ClusterSummaryFields {
            capacity: capacity.to_list(),
            allocatable: allocatable.to_list(),
            labels: labels.unwrap_or_default(),
            ..Default::default()
        }
    }
}

fn parse(node: &Node, list: impl Fn(&k8s_openapi::api::core::v1::NodeStatus) -> Option<ResourceList>) -> Resources {
    node.status
        .as_ref()
        .and_then(list)
        .and_then(|list| Resources::parse(&list).ok())
        .unwrap_or_default()
}

fn entry(node: &Node) -> NodeEntry {
    let spec = node.spec.clone().unwrap_or_default();
    NodeEntry {
        name: node.name_any(),
        labels: node.labels().clone(),
        taints: spec.taints.unwrap_or_default(),
        unschedulable: spec.unschedulable.unwrap_or_default(),
        allocatable: node
            .status
            .as_ref()
            .and_then(|status| status.allocatable.clone())
            .unwrap_or_default(),
        requested: BTreeMap::new(),
    }
}

/// The node that a pod takes room on, and how much. Pods that have ended take none.
fn placed(pod: &PodView) -> Option<(String, Resources)> {
    let node = pod.spec.node_name.clone();
    let ended = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if node.is_empty() || ended || pod.labels().contains_key(names::HAS_FINALIZER) {
        return None;
    }
    Some((node, view_requests(&pod.spec).ok()?))
}

fn shard_of(node: &str, shards: usize) -> usize {
    // DefaultHasher::new() has fixed keys; a restart that hashed otherwise would only write all shards once.
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    (hasher.finish() % shards as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn node(name: &str, zone: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"zone": zone, "region": "eu"}},
            "status": {"capacity": {"cpu": "4", "pods": "10"}, "allocatable": {"cpu": "3500m", "pods": "10"}},
        }))
        .unwrap()
    }

    fn pod(version: u64, node: &str, phase: &str) -> PodView {
        serde_json::from_value(json!({
            "metadata": {"resourceVersion": version.to_string()},
            "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn key(name: &str) -> Key {
        ("default".into(), name.into())
    }

    fn requested(summary: &Summary, name: &str) -> Option<String> {
        let entry = summary.shard(0).nodes.into_iter().find(|node| node.name == name)?;
        entry.requested.get("cpu").map(|quantity| quantity.0.clone())
    }

    #[test]
    fn sums_and_common_labels() {
        let mut summary = Summary::default();
        summary.put_node(&node("a", "1"));
        summary.put_node(&node("b", "2"));
        let cluster = summary.cluster();
        assert_eq!(
            (
                cluster.capacity["cpu"].0.as_str(),
                cluster.allocatable["cpu"].0.as_str()
            ),
            ("8", "7")
        );
        assert_eq!(cluster.labels, [("region".to_owned(), "eu".to_owned())].into());
    }

    #[test]
    fn virtual_nodes_do_not_count() {
        let mut virtual_node = node("v", "1");
        virtual_node
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .insert(names::PROVIDER.into(), names::PROVIDER_VALUE.into());
        let mut summary = Summary::default();
        summary.put_node(&virtual_node);
        assert!(summary.shard(0).nodes.is_empty());
    }

    #[test]
    fn pods_count_while_they_run() {
        let mut summary = Summary::default();
        summary.put_node(&node("a", "1"));
        summary.put_pod(&key("p"), &pod(5, "a", "Running"));
        summary.put_pod(&key("q"), &pod(6, "a", "Pending"));
        assert_eq!(requested(&summary, "a").as_deref(), Some("1"));
        assert_eq!(summary.shard(0).pods_resource_version, "6");
        summary.put_pod(&key("p"), &pod(9, "a", "Succeeded"));
        summary.remove_pod(&key("q"));
        assert_eq!(requested(&summary, "a"), None);
        assert_eq!(summary.shard(0).pods_resource_version, "9");
    }

    #[test]
    fn a_pod_seen_before_its_node_counts() {
        let mut summary = Summary::default();
        summary.put_pod(&key("p"), &pod(5, "a", "Running"));
        assert!(summary.shard(0).nodes.is_empty());
        summary.put_node(&node("a", "1"));
        assert_eq!(requested(&summary, "a").as_deref(), Some("500m"));
    }

    #[test]
    fn only_what_changed_is_dirty() {
        let mut summary = Summary::default();
        summary.put_node(&node("a", "1"));
        assert_eq!(summary.take_dirty().len(), 1);
        summary.put_node(&node("a", "1"));
        summary.put_pod(&key("p"), &pod(5, "", "Pending"));
        assert!(summary.take_dirty().is_empty());
        summary.put_pod(&key("p"), &pod(6, "a", "Pending"));
        assert_eq!(summary.take_dirty().len(), 1);
    }

    #[test]
    fn many_nodes_are_split_and_none_is_lost() {
        let mut summary = Summary::default();
        for i in 0..1000 {
            summary.put_node(&node(&format!("n{i}"), "1"));
        }
        let shards: Vec<_> = (0..summary.shard_count())
            .map(|shard| summary.shard(shard).nodes.len())
            .collect();
        assert_eq!((shards.len(), shards.iter().sum::<usize>()), (8, 1000));
        assert!(shards.iter().all(|nodes| *nodes < 2 * NODES_PER_SHARD), "{shards:?}");
    }

    proptest! {
        /// Whatever comes in whatever order, the sums are those of a summary that sees only the end.
        #[test]
        fn sums_follow_all_changes(steps in prop::collection::vec((0..4u8, 0..3u8, 0..3u8), 0..60)) {
            let mut summary = Summary::default();
            let mut last = HashMap::new();
            for name in ["n0", "n1", "n2"] {
                summary.put_node(&node(name, "1"));
            }
            for (version, (name, on, phase)) in steps.into_iter().enumerate() {
                let (key, node) = (key(&name.to_string()), format!("n{on}"));
                if phase == 0 {
                    summary.remove_pod(&key);
                    last.remove(&key);
                } else {
                    let pod = pod(version as u64, &node, if phase == 1 { "Running" } else { "Failed" });
                    summary.put_pod(&key, &pod);
                    last.insert(key, pod);
                }
            }
            let mut expected = Summary::default();
            for name in ["n0", "n1", "n2"] {
                expected.put_node(&node(name, "1"));
            }
            for (key, pod) in &last {
                expected.put_pod(key, pod);
            }
            prop_assert_eq!(summary.shard(0).nodes, expected.shard(0).nodes);
        }
    }
}
