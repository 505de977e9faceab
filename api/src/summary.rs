//! ClusterSummary and NodeSummary: what a target tells its sources about itself.

// Two printer columns may share a type.
#![allow(clippy::duplicated_attributes)]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What a cluster has, in sum. One object, named `singleton`.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "ClusterSummary",
    plural = "clustersummaries",
    no_spec,
    derive = "PartialEq",
    category = "multicluster",
    doc = "What a cluster has, in sum. One object, named singleton.",
    printcolumn(name = "CPU", type_ = "string", json_path = ".allocatable.cpu"),
    printcolumn(name = "Memory", type_ = "string", json_path = ".allocatable.memory"),
    printcolumn(name = "Heartbeat", type_ = "date", json_path = ".heartbeatTime")
)]
#[x_kube(validation = Rule::new("self.metadata.name == 'singleton'").message("a cluster has one ClusterSummary: name it singleton"))]
#[serde(rename_all = "camelCase")]
pub struct ClusterSummaryFields {
    /// Sums over the nodes' capacity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "resource_list")]
    pub capacity: BTreeMap<String, Quantity>,
    /// Sums over the nodes' allocatable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "resource_list")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// Labels that have one value on all nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Written every few seconds by the cluster's agent. Readers watch that it changes, and never compare it with
    /// their own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_time: Option<MicroTime>,
    /// Number of NodeSummary shards; absent when this cluster does not publish its nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_summaries: Option<i32>,
    /// Which cluster this is: the UID of its namespace kube-system. A source tells by it whether other credentials
    /// lead to the same cluster.
    #[serde(default, rename = "clusterID", skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Version of the agent that wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
}

/// A shard of a cluster's nodes: what is needed to tell whether a pod would fit one.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "NodeSummary",
    plural = "nodesummaries",
    no_spec,
    derive = "PartialEq",
    category = "multicluster",
    doc = "A shard of a cluster's nodes: what is needed to tell whether a pod would fit one.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct NodeSummaryFields {
    /// All changes of pods up to this resourceVersion are counted in `requested`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pods_resource_version: String,
    /// The nodes, sorted by name.
    #[serde(default)]
    pub nodes: Vec<NodeEntry>,
}

/// What a target publishes of one of its nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeEntry {
    /// Name of the node.
    pub name: String,
    /// The node's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The node's taints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// The node is cordoned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unschedulable: bool,
    /// The node's allocatable, `pods` included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "resource_list")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// Sum of the requests of the node's pods; under `pods` their number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "resource_list")]
    pub requested: BTreeMap<String, Quantity>,
}

/// Prefix of the names of NodeSummary shards; the shard's number follows.
pub const SHARD_PREFIX: &str = "shard-";

/// Quantities by resource name, without the long description that each of them carries.
fn resource_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "x-kubernetes-int-or-string": true } })
}
