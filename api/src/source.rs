//! Source and ClusterSource: who may send pods to this cluster.

// Two printer columns may share a type.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// An identity that may send pods to this namespace.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "Source",
    namespaced,
    status = "SourceStatus",
    derive = "PartialEq",
    shortname = "src",
    category = "multicluster",
    doc = "An identity that may send pods to this namespace.",
    printcolumn(name = "User", type_ = "string", json_path = ".spec.userName"),
    printcolumn(name = "ServiceAccount", type_ = "string", json_path = ".spec.serviceAccountName"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("has(self.userName) != has(self.serviceAccountName)")
        .message("write either userName or serviceAccountName, not both and not neither")
)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// Name of a user, as the API server's authenticators know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub user_name: Option<String>,
    /// Name of a ServiceAccount in this namespace; made when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
}

/// An identity that may send pods to all namespaces.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "ClusterSource",
    status = "SourceStatus",
    derive = "PartialEq",
    shortname = "csrc",
    category = "multicluster",
    doc = "An identity that may send pods to all namespaces.",
    printcolumn(name = "User", type_ = "string", json_path = ".spec.userName"),
    printcolumn(name = "ServiceAccount", type_ = "string", json_path = ".spec.serviceAccount.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("has(self.userName) != has(self.serviceAccount)")
        .message("write either userName or serviceAccount: {namespace: ..., name: ...}, not both and not neither")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSourceSpec {
    /// Name of a user, as the API server's authenticators know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub user_name: Option<String>,
    /// A ServiceAccount; made when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountReference>,
}

/// Which ServiceAccount a ClusterSource means.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceAccountReference {
    /// Namespace of the ServiceAccount.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the ServiceAccount.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How a source is doing.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// `Ready`: the identity exists and its permissions are granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
