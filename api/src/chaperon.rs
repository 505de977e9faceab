//! PodChaperon: owns a delegate pod in a target cluster, for a proxy pod in a source cluster.

// Two printer columns may share a type.
#![allow(clippy::duplicated_attributes)]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::virtual_node::short_hash;

/// The delegate pod's spec, kept as JSON: a field that this program does not know still reaches the delegate.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "PodChaperon",
    namespaced,
    status = "PodChaperonStatus",
    derive = "PartialEq",
    shortname = "chap",
    category = "multicluster",
    doc = "Owns a delegate pod, for a proxy pod in a source cluster. Labels and annotations are the delegate's.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.delegate.nodeName"),
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".metadata.labels['multicluster\\.admiralty\\.io/parent-cluster-name']",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[schemars(schema_with = "any_object")]
pub struct PodChaperonSpec {
    /// Spec of the delegate pod, as in core/v1 Pod.
    #[serde(flatten)]
    pub pod: Map<String, Value>,
}

impl PodChaperonSpec {
    /// The spec as a typed value; unknown fields are left out.
    pub fn typed(&self) -> Result<PodSpec, serde_json::Error> {
        serde_json::from_value(Value::Object(self.pod.clone()))
    }
}

/// The delegate pod's status, and which pod it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(schema_with = "any_object")]
#[serde(rename_all = "camelCase")]
pub struct PodChaperonStatus {
    /// Status of the delegate pod, as in core/v1 Pod.
    #[serde(flatten)]
    pub pod: PodStatus,
    /// The delegate pod, as far as its status does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate: Option<DelegateRef>,
}

/// What a source needs to know of a delegate beyond its status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DelegateRef {
    /// UID of the delegate pod.
    pub uid: String,
    /// Node in the target cluster; empty until it is bound.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node_name: String,
    /// resourceVersion at which the delegate was first seen on its node. A NodeSummary that has seen as much counts it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bound_resource_version: String,
    /// The delegate is being deleted, or gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    /// Annotations that the target put on the delegate, or changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Longest name of a delegate: it becomes the hostname, a DNS label.
const MAX_NAME: usize = 63;
/// Hex digits of the hash over the UID.
const HASH_DIGITS: usize = 10;

/// Name of the chaperon, and of the delegate, of a proxy pod. It follows from the pod's UID, so that a second attempt
/// meets the first; the pod's own name in front is for people.
pub fn chaperon_name(pod_name: &str, pod_uid: &str) -> String {
    let hash = short_hash(pod_uid, HASH_DIGITS);
    // A pod's name may have dots, a DNS label may not.
    let mut front = pod_name.replace('.', "-");
    front.truncate(MAX_NAME - HASH_DIGITS - 1);
    match front.trim_matches('-') {
        "" => format!("pod-{hash}"),
        front => format!("{front}-{hash}"),
    }
}

/// Pod specs and statuses change with every Kubernetes release, and the delegate pod's own API server judges them.
///
/// Atomic, because each has one writer: the API server need not keep book of who wrote which of their fields, which
/// costs it more than the rest of a write.
fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_a_dns_label_and_depend_on_the_uid() {
        for name in [
            "web-0",
            "a.b.c",
            &"x".repeat(253),
            &format!("{}-{}", "x".repeat(51), "y".repeat(99)),
        ] {
            let (a, b) = (chaperon_name(name, "1"), chaperon_name(name, "2"));
            assert!(a.len() <= 63 && a != b && !a.contains('.') && !a.contains("--"), "{a}");
        }
        assert_eq!(chaperon_name("web-0", "1"), chaperon_name("web-0", "1"));
    }
}
