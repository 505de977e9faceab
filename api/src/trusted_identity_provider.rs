//! TrustedIdentityProvider: who is believed in this cluster, and under what names.

// Two printer columns may share a type.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Somebody whose word is taken for who a caller is. What they say becomes a user name only with a prefix in front.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "TrustedIdentityProvider",
    namespaced,
    status = "TrustedIdentityProviderStatus",
    derive = "PartialEq",
    shortname = "tip",
    category = "multicluster",
    doc = "Somebody whose word is taken for who a caller is.",
    printcolumn(name = "Prefix", type_ = "string", json_path = ".spec.prefix"),
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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("has(self.certificateAuthorityData) != has(self.oidc)")
        .message("write either certificateAuthorityData (the PEM certificate of an authority, in base64) or oidc: {issuer: ..., audiences: [...]}, not both and not neither")
)]
#[serde(rename_all = "camelCase")]
pub struct TrustedIdentityProviderSpec {
    /// What the names of its users and groups begin with here. Ends with `/` or `:`.
    #[schemars(length(min = 2, max = 253))]
    pub prefix: String,
    /// Proof by client certificates: PEM certificates of the authorities that sign them, in base64. The common name is
    /// `ns/NAMESPACE/id/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub certificate_authority_data: Option<String>,
    /// Proof by tokens of ServiceAccounts of another cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OpenIdConnect>,
    /// Identities, as `ns/NAMESPACE/id/NAME`, that may call besides those that Sources name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub identities: Vec<String>,
    /// Groups that a caller may be in here: organisations of its certificate, or the claim `groups` of its token. Others
    /// are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub groups: Vec<String>,
}

/// An OpenID Connect issuer of ServiceAccount tokens.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenIdConnect {
    /// The issuer as its tokens name it (`iss`), an https URL.
    #[schemars(length(min = 9, max = 2048))]
    pub issuer: String,
    /// Audiences (`aud`), one of which a token must be for. Give each target one of its own, or a token for one target is
    /// good in another.
    #[schemars(length(min = 1, max = 16))]
    pub audiences: Vec<String>,
    /// The issuer's keys, a JSON Web Key Set, where its URL cannot be reached from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 131072))]
    pub jwks: Option<String>,
    /// Where the discovery document is, if not at the issuer's URL.
    #[serde(default, rename = "discoveryURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 2048))]
    pub discovery_url: Option<String>,
    /// PEM certificates of the authorities of that server, in base64; without it, those that browsers know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub certificate_authority_data: Option<String>,
}

/// Whether it is believed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedIdentityProviderStatus {
    /// `Ready`: it is believed, and its users may be impersonated by the proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
