//! Target and ClusterTarget: clusters that pods can be sent to.

// Two printer columns may share a type.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{TargetRef, names};

/// A cluster that pods of this namespace can be sent to.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "Target",
    namespaced,
    status = "TargetStatus",
    derive = "PartialEq",
    shortname = "tgt",
    category = "multicluster",
    doc = "A cluster that pods of this namespace can be sent to.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.virtualNodeName"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("(has(self.self) && self.self) != has(self.kubeconfigSecret)")
        .message("write either self: true (this very cluster) or kubeconfigSecret: {name: ...}, not both and not neither")
)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// This very cluster is the target.
    #[serde(default, rename = "self", skip_serializing_if = "std::ops::Not::not")]
    pub self_target: bool,
    /// Secret in the same namespace with a kubeconfig for the target cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret: Option<KubeconfigSecret>,
    /// Labels of the target's nodes that match (as key=value) are not shown on the virtual node. RE2 syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub excluded_labels_regexp: Option<String>,
}

/// A cluster that pods of all namespaces can be sent to.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "ClusterTarget",
    status = "TargetStatus",
    derive = "PartialEq",
    shortname = "ctgt",
    category = "multicluster",
    doc = "A cluster that pods of all namespaces can be sent to.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.virtualNodeName"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("(has(self.self) && self.self) != has(self.kubeconfigSecret)")
        .message("write either self: true (this very cluster) or kubeconfigSecret: {namespace: ..., name: ...}, not both and not neither")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterTargetSpec {
    /// This very cluster is the target.
    #[serde(default, rename = "self", skip_serializing_if = "std::ops::Not::not")]
    pub self_target: bool,
    /// Secret with a kubeconfig for the target cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret: Option<ClusterKubeconfigSecret>,
    /// Labels of the target's nodes that match (as key=value) are not shown on the virtual node. RE2 syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub excluded_labels_regexp: Option<String>,
}

/// Where a Target finds its kubeconfig.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigSecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret's data; "config" when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Context in the kubeconfig; its current context when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// Where a ClusterTarget finds its kubeconfig.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterKubeconfigSecret {
    /// Namespace of the Secret.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret's data; "config" when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Context in the kubeconfig; its current context when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// How a target is doing.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// `Ready`: the target's API server answers, accepts the credentials, and its agent is alive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the virtual node that stands for this target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_node_name: Option<String>,
    /// The cluster behind this target, as its ClusterSummary says: pods of this target are there.
    #[serde(default, rename = "clusterID", skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Key of the kubeconfig in its Secret when a target names none.
pub const DEFAULT_KUBECONFIG_KEY: &str = "config";

/// A Target or a ClusterTarget, parsed: what both have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyTarget {
    /// Which object it is.
    pub target: TargetRef,
    /// UID of the object: a target made again under the same name is another one.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// How to reach it.
    pub access: Access,
    /// Labels that stay off the virtual node, as written.
    pub excluded_labels_regexp: Option<String>,
    /// The network of its pods, as the label [`names::NETWORK`] says. Empty for the default one.
    pub network: String,
    /// The status as last read.
    pub status: TargetStatus,
}

/// How a target is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The target is the source cluster itself.
    SelfCluster,
    /// By the kubeconfig in a Secret.
    Kubeconfig {
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        secret: String,
        /// Key in the Secret.
        key: String,
        /// Context to use; `None` for the current one.
        context: Option<String>,
    },
    /// The spec says neither or both: what is wrong with it.
    Invalid(&'static str),
}

const AMBIGUOUS: &str = "write either self: true or kubeconfigSecret, not both and not neither";

/// Where a kubeconfig lies: what both kinds of targets say of it, in one form.
struct Kubeconfig<'a> {
    namespace: &'a str,
    secret: &'a str,
    key: &'a Option<String>,
    context: &'a Option<String>,
}

fn access(self_target: bool, kubeconfig: Option<Kubeconfig<'_>>) -> Access {
    match (self_target, kubeconfig) {
        (true, None) => Access::SelfCluster,
        (false, Some(kubeconfig)) => Access::Kubeconfig {
            namespace: kubeconfig.namespace.to_owned(),
            secret: kubeconfig.secret.to_owned(),
            key: kubeconfig.key.clone().unwrap_or_else(|| DEFAULT_KUBECONFIG_KEY.into()),
            context: kubeconfig.context.clone(),
        },
        _ => Access::Invalid(AMBIGUOUS),
    }
}

fn network(metadata: &ObjectMeta) -> String {
    let labels = metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(names::NETWORK))
        .cloned()
        .unwrap_or_default()
}

impl From<&Target> for AnyTarget {
    fn from(object: &Target) -> Self {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let secret = object.spec.kubeconfig_secret.as_ref().map(|secret| Kubeconfig {
            namespace: &namespace,
            secret: &secret.name,
            key: &secret.key,
            context: &secret.context,
        });
        Self {
            access: access(object.spec.self_target, secret),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            excluded_labels_regexp: object.spec.excluded_labels_regexp.clone(),
            network: network(&object.metadata),
            status: object.status.clone().unwrap_or_default(),
            target: TargetRef::namespaced(namespace, object.metadata.name.clone().unwrap_or_default()),
        }
    }
}

impl From<&ClusterTarget> for AnyTarget {
    fn from(object: &ClusterTarget) -> Self {
        let secret = object.spec.kubeconfig_secret.as_ref().map(|secret| Kubeconfig {
            namespace: &secret.namespace,
            secret: &secret.name,
            key: &secret.key,
            context: &secret.context,
        });
        Self {
            access: access(object.spec.self_target, secret),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            excluded_labels_regexp: object.spec.excluded_labels_regexp.clone(),
            network: network(&object.metadata),
            status: object.status.clone().unwrap_or_default(),
            target: TargetRef::cluster(object.metadata.name.clone().unwrap_or_default()),
        }
    }
}
