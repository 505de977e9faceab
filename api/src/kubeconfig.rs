//! Kubeconfig: a kubeconfig in a Secret, whose credentials this cluster issues and renews.

// Two printer columns may share a type.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// A kubeconfig in a Secret, whose credentials this cluster issues and renews.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "Kubeconfig",
    namespaced,
    status = "KubeconfigStatus",
    derive = "PartialEq",
    shortname = "kcfg",
    category = "multicluster",
    doc = "A kubeconfig in a Secret, whose credentials this cluster issues and renews.",
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.secretName"),
    printcolumn(name = "Identity", type_ = "string", json_path = ".status.identity"),
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
    printcolumn(name = "Expires", type_ = "date", json_path = ".status.notAfter"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("!(has(self.certificate) && has(self.token))")
        .message("write certificate: {...} or token: {...}, not both; with neither, a certificate is issued for the identity \"default\"")
)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigSpec {
    /// Name of the Secret, in the same namespace. The kubeconfig is under the key `config`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The cluster that it leads to.
    pub cluster: KubeconfigCluster,
    /// Prove who we are by a client certificate. The default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateIdentity>,
    /// Prove who we are by a token of a ServiceAccount of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenIdentity>,
}

/// A cluster, as kubeconfigs describe it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigCluster {
    /// https URL of the target's authenticating proxy; or of its API server, if that believes our identities by itself.
    #[schemars(length(min = 9, max = 2048))]
    pub server: String,
    /// PEM certificates of the authorities of that server, in base64; without it, those that browsers know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub certificate_authority_data: Option<String>,
    /// Name in the server's certificate, if it is not the one in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_server_name: Option<String>,
    /// http URL of a proxy on the way there.
    #[serde(default, rename = "proxyURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048))]
    pub proxy_url: Option<String>,
}

/// An identity that is proved by a certificate: `ns/NAMESPACE/id/ID`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateIdentity {
    /// Last part of the identity; "default" when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub id: Option<String>,
    /// Life of a certificate in seconds: 600 to 7776000 (90 days); 3600 when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 600, max = 7_776_000))]
    pub expiration_seconds: Option<i64>,
}

/// An identity that is proved by a token: `ns/NAMESPACE/id/SERVICEACCOUNT`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenIdentity {
    /// The ServiceAccount; "default" when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Whom the token is for; begins with `multicluster.admiralty.io/`, so that it is never good in this cluster itself.
    /// When it is not given, that and the host and port of the server's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub audience: Option<String>,
    /// Life of a token in seconds, 600 to 86400; 3600 when it is not given. The API server may choose another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 600, max = 86400))]
    pub expiration_seconds: Option<i64>,
}

/// What has been issued.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigStatus {
    /// `Ready`: the Secret holds credentials that have not expired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Who we are there, without the prefix that the target puts in front: `ns/NAMESPACE/id/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// When the credentials expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// When they will be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// Generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
