//! Pods and nodes for tests.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use multicluster_api::names::HOSTNAME;
use multicluster_api::options::{SchedulingConstraints, SourceManifest};
use multicluster_api::raw::RawPod;
use multicluster_api::resources::Resources;
use multicluster_api::{NodeEntry, NodeSummary, NodeSummaryFields};
use serde_json::{Value, json};

use super::constraints::Constraints;
use super::nodes::Shard;
use super::pod::Wanted;

/// A resource list.
pub fn list(amounts: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    amounts
        .iter()
        .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
        .collect()
}

/// An empty node with 4 cores, 8 GiB and 110 pods.
pub fn node(name: &str) -> NodeEntry {
    NodeEntry {
        name: name.into(),
        labels: BTreeMap::from([(HOSTNAME.into(), name.into())]),
        allocatable: list(&[("cpu", "4"), ("memory", "8Gi"), ("pods", "110")]),
        ..NodeEntry::default()
    }
}

/// More about a node.
pub trait NodeExt: Sized {
    fn label(self, key: &str, value: &str) -> Self;
    fn taint(self, key: &str, value: &str, effect: &str) -> Self;
    fn has(self, amounts: &[(&str, &str)]) -> Self;
    fn used(self, amounts: &[(&str, &str)]) -> Self;
    fn cordoned(self) -> Self;
}

impl NodeExt for NodeEntry {
    fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }
    fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        self.taints.push(Taint {
            key: key.into(),
            value: (!value.is_empty()).then(|| value.into()),
            effect: effect.into(),
            time_added: None,
        });
        self
    }
    fn has(mut self, amounts: &[(&str, &str)]) -> Self {
        self.allocatable.extend(list(amounts));
        self
    }
    fn used(mut self, amounts: &[(&str, &str)]) -> Self {
        self.requested.extend(list(amounts));
        self
    }
    fn cordoned(mut self) -> Self {
        self.unschedulable = true;
        self
    }
}

/// A summary of these nodes.
pub fn summary(name: &str, version: u64, nodes: Vec<NodeEntry>) -> NodeSummary {
    NodeSummary::new(
        name,
        NodeSummaryFields {
            pods_resource_version: version.to_string(),
            nodes,
        },
    )
}

/// A packed summary of these nodes.
pub fn shard(nodes: Vec<NodeEntry>) -> Shard {
    Shard::new(&summary("shard-0", 1, nodes))
}

/// What a pod with these requests and this spec's constraints wants.
pub fn wanted(requests: &[(&str, &str)], constraints: Value) -> Wanted {
    let mut requests = Resources::parse(&list(requests)).unwrap();
    requests.pods = 1;
    let constraints = SchedulingConstraints::from_spec(constraints.as_object().unwrap());
    Wanted {
        requests,
        constraints: Constraints::compile(&constraints).unwrap(),
        no_reservation: false,
    }
}

/// A proxy pod as the webhook makes it, of a submitted spec.
pub fn proxy_pod(name: &str, uid: &str, submitted: Value) -> RawPod {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "default", "uid": uid, "resourceVersion": "1",
            "labels": {"app": "web", "multicluster.admiralty.io/has-finalizer": "true"},
            "annotations": {
                "multicluster.admiralty.io/elect": "",
                "multicluster.admiralty.io/sourcepod-manifest": json!({"spec": submitted}).to_string(),
            },
            "finalizers": ["multicluster.admiralty.io/multiclusterForegroundDeletion"],
        },
        "spec": submitted,
    });
    let spec = pod["spec"].as_object_mut().unwrap();
    for field in ["affinity", "topologySpreadConstraints"] {
        spec.remove(field);
    }
    spec.insert(
        "nodeSelector".into(),
        json!({"virtual-kubelet.io/provider": "admiralty"}),
    );
    spec.insert(
        "tolerations".into(),
        json!([{"key": "virtual-kubelet.io/provider", "value": "admiralty"}]),
    );
    spec.insert("schedulerName".into(), json!("admiralty-proxy"));
    spec.insert("terminationGracePeriodSeconds".into(), json!(0));
    let pod: RawPod = serde_json::from_value(pod).unwrap();
    SourceManifest::parse(&pod.metadata.annotations.as_ref().unwrap()["multicluster.admiralty.io/sourcepod-manifest"])
        .unwrap();
    pod
}

/// One container that requests this much CPU.
pub fn spec(cpu: &str) -> Value {
    json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]})
}

/// The pod as kube-scheduler sends it.
pub fn typed(pod: &RawPod) -> Pod {
    serde_json::from_value(serde_json::to_value(pod).unwrap()).unwrap()
}
