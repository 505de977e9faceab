//! What kube-scheduler and an extender say to each other: k8s.io/kube-scheduler/extender/v1.
//!
//! The keys are the names of Go fields. Go writes `null` where it has nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `ExtenderArgs`: a pod, and the nodes that it may go to. Nodes stay as they are written: they go back unchanged.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderArgs<'a> {
    /// The pod being scheduled.
    pub pod: Box<Pod>,
    /// Whole nodes, with `nodeCacheCapable: false`.
    #[serde(default, borrow)]
    pub nodes: Option<NodeList<'a>>,
    /// Names of nodes, with `nodeCacheCapable: true`.
    #[serde(default, borrow)]
    pub node_names: Option<Vec<Cow<'a, str>>>,
}

/// core/v1 NodeList.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct NodeList<'a> {
    /// List metadata.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a RawValue>,
    /// The nodes.
    #[serde(default, borrow)]
    pub items: Option<Vec<&'a RawValue>>,
}

/// As much of a node as tells which one it is.
#[derive(Debug, Default, Deserialize)]
pub struct NodeHead {
    /// The node's metadata.
    #[serde(default)]
    pub metadata: NodeMetadata,
}

/// As much of a node's metadata as tells which one it is.
#[derive(Debug, Default, Deserialize)]
pub struct NodeMetadata {
    /// The node's name.
    #[serde(default)]
    pub name: String,
    /// The node's labels.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
}

/// `ExtenderFilterResult`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderFilterResult<'a> {
    /// Nodes that passed, when whole nodes were sent.
    pub nodes: Option<NodeList<'a>>,
    /// Names of nodes that passed, when names were sent.
    pub node_names: Option<Vec<&'a str>>,
    /// Nodes that did not pass, and why.
    pub failed_nodes: BTreeMap<&'a str, Cow<'a, str>>,
    /// Nodes that did not pass, and would not after preemption either.
    pub failed_and_unresolvable_nodes: BTreeMap<&'a str, Cow<'a, str>>,
    /// Why there is no result.
    pub error: String,
}

/// `HostPriority`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostPriority<'a> {
    /// Name of the node.
    pub host: &'a str,
    /// 0 to 10.
    pub score: i64,
}

/// `ExtenderBindingArgs`.
#[derive(Debug, Deserialize)]
pub struct ExtenderBindingArgs {
    /// Name of the pod.
    #[serde(rename = "PodName")]
    pub pod_name: String,
    /// Namespace of the pod.
    #[serde(rename = "PodNamespace")]
    pub pod_namespace: String,
    /// UID of the pod.
    #[serde(rename = "PodUID")]
    pub pod_uid: String,
    /// Name of the node.
    #[serde(rename = "Node")]
    pub node: String,
}

/// `ExtenderBindingResult`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderBindingResult {
    /// Why the pod is not bound; empty when it is.
    pub error: String,
}

/// `ExtenderPreemptionArgs`: a pod, and by node the pods that would have to leave for it. One of the maps is given.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderPreemptionArgs<'a> {
    /// The pod being scheduled.
    pub pod: Box<Pod>,
    /// With `nodeCacheCapable: false`.
    #[serde(default, borrow)]
    pub node_name_to_victims: Option<BTreeMap<Cow<'a, str>, Victims<FullVictim>>>,
    /// With `nodeCacheCapable: true`.
    #[serde(default, borrow)]
    pub node_name_to_meta_victims: Option<BTreeMap<Cow<'a, str>, Victims<MetaPod>>>,
}

/// `Victims` and `MetaVictims`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Victims<P> {
    /// The pods.
    pub pods: Option<Vec<P>>,
    /// How many of them are protected by a PodDisruptionBudget.
    #[serde(rename = "NumPDBViolations", default)]
    pub num_pdb_violations: i64,
}

/// `MetaPod`.
#[derive(Debug, Deserialize, Serialize)]
pub struct MetaPod {
    /// The pod's UID.
    #[serde(rename = "UID")]
    pub uid: String,
}

/// As much of a whole pod as tells which one it is.
#[derive(Debug, Deserialize)]
pub struct FullVictim {
    /// The pod's metadata.
    pub metadata: VictimMetadata,
}

/// As much of a pod's metadata as tells which one it is.
#[derive(Debug, Deserialize)]
pub struct VictimMetadata {
    /// The pod's UID.
    #[serde(default)]
    pub uid: String,
}

/// `ExtenderPreemptionResult`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExtenderPreemptionResult<'a> {
    /// The nodes that remain, and the pods that would have to leave them.
    pub node_name_to_meta_victims: BTreeMap<Cow<'a, str>, Victims<MetaPod>>,
}

impl From<Victims<FullVictim>> for Victims<MetaPod> {
    fn from(full: Victims<FullVictim>) -> Self {
        let meta = |pod: FullVictim| MetaPod { uid: pod.metadata.uid };
        Self {
            pods: full.pods.map(|pods| pods.into_iter().map(meta).collect()),
            num_pdb_violations: full.num_pdb_violations,
        }
    }
}
