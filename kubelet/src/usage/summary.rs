//! What `/stats/summary` answers: the types of `k8s.io/kubelet/pkg/apis/stats/v1alpha1`, without what a metrics API does not
//! know (file systems, network, processes). That is left out, as a kubelet does with what it does not know; it is not 0.

use jiff::Timestamp;
use serde::Serialize;

/// A virtual node and the pods on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The virtual node.
    pub node: NodeStats,
    /// Its proxy pods of whose delegates something is known, in the order of namespaces and names.
    pub pods: Vec<PodStats>,
}

/// What a virtual node uses: the sum over its delegates that are shown. What else runs in the target is not told to us.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStats {
    /// Its name.
    pub node_name: String,
    /// Since when this is counted.
    pub start_time: Timestamp,
    /// CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
}

/// What a pod uses: the sum over its containers that are shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStats {
    /// The proxy pod.
    pub pod_ref: PodReference,
    /// When the delegate was started; `null` while that is not known.
    pub start_time: Option<Timestamp>,
    /// In the order of their names.
    pub containers: Vec<ContainerStats>,
    /// CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
}

/// Which pod it is, in the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodReference {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// UID.
    pub uid: String,
}

/// What a container uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStats {
    /// Name.
    pub name: String,
    /// When it was started.
    pub start_time: Timestamp,
    /// CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
}

/// Use of CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuStats {
    /// When it was measured, by the target's clock.
    pub time: Timestamp,
    /// Nanocores, averaged over the target's window.
    pub usage_nano_cores: u64,
    /// Core-nanoseconds since the counting began: see [`super::counter`].
    pub usage_core_nano_seconds: u64,
}

/// Use of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStats {
    /// When it was measured, by the target's clock.
    pub time: Timestamp,
    /// Bytes.
    pub working_set_bytes: u64,
}
