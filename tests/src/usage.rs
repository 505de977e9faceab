//! What pods of fake nodes use: kwok says so to metrics-server.
//!
//! A pod uses the CPU of its annotation [`CPU`], unless its node has an annotation for the pod's namespace
//! ([`set_load`]): so much load falls on each pod there.

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::Cluster;
use crate::nodes::KWOK_NODE;

/// What a pod uses of CPU, as a quantity; 5m without the annotation.
pub const CPU: &str = "testbed/cpu";
/// The same of memory; 16Mi without it.
pub const MEMORY: &str = "testbed/memory";
/// Annotation of nodes, with the namespace behind it.
const LOAD: &str = "testbed/load-";

/// Parts of [`ClusterOptions::kwok_config`](crate::ClusterOptions::kwok_config).
pub fn kwok_config() -> Vec<String> {
    let usage = format!(
        r#"
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterResourceUsage
metadata: {{name: all}}
spec:
  usages:
  - usage:
      cpu:
        expression: |
          ("{LOAD}" + pod.metadata.namespace) in node.metadata.annotations
          ? Quantity(node.metadata.annotations["{LOAD}" + pod.metadata.namespace])
          : ("{CPU}" in pod.metadata.annotations ? Quantity(pod.metadata.annotations["{CPU}"]) : Quantity("5m"))
      memory:
        expression: |
          "{MEMORY}" in pod.metadata.annotations ? Quantity(pod.metadata.annotations["{MEMORY}"]) : Quantity("16Mi")
"#
    );
    let metric = |name: &str, dimension: &str, kind: &str, value: &str| {
        let labels = match dimension {
            "container" => {
                "labels: [{name: container, value: container.name}, {name: namespace, value: pod.metadata.namespace}, \
                 {name: pod, value: pod.metadata.name}], "
            }
            _ => "",
        };
        format!("  - {{name: {name}, dimension: {dimension}, help: \"-\", kind: {kind}, {labels}value: '{value}'}}\n")
    };
    let metrics = [
        (
            "container_cpu_usage_seconds_total",
            "container",
            "counter",
            r#"pod.CumulativeUsage("cpu", container.name)"#,
        ),
        (
            "container_memory_working_set_bytes",
            "container",
            "gauge",
            r#"pod.Usage("memory", container.name)"#,
        ),
        (
            "node_cpu_usage_seconds_total",
            "node",
            "counter",
            r#"node.CumulativeUsage("cpu")"#,
        ),
        (
            "node_memory_working_set_bytes",
            "node",
            "gauge",
            r#"node.Usage("memory")"#,
        ),
    ];
    let metrics: String = metrics
        .map(|(name, dimension, kind, value)| metric(name, dimension, kind, value))
        .concat();
    let metrics = format!(
        "apiVersion: kwok.x-k8s.io/v1alpha1\nkind: Metric\nmetadata: {{name: resource}}\nspec:\n  \
         path: \"{}\"\n  metrics:\n{metrics}",
        resource_path("{nodeName}")
    );
    vec![usage, metrics]
}

/// Where kwok tells what a node uses.
pub(crate) fn resource_path(node: &str) -> String {
    format!("/metrics/nodes/{node}/metrics/resource")
}

/// From now on each pod of this namespace uses so much CPU in this cluster; `None`: what its annotation says.
pub async fn set_load(cluster: &Cluster, namespace: &str, cpu: Option<&str>) -> Result<()> {
    let nodes = Api::<Node>::all(cluster.client());
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { format!("{LOAD}{namespace}"): cpu } } }));
    for node in nodes.list(&ListParams::default()).await? {
        if node.annotations().contains_key(KWOK_NODE.0) {
            nodes.patch(&node.name_any(), &PatchParams::default(), &patch).await?;
        }
    }
    Ok(())
}
