//! The ClusterRole and the conditions, over what a cluster can go through.

mod histories;
mod keeping;
mod roles;
mod verdicts;

use k8s_openapi::api::rbac::v1::ClusterRole;
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider, names};
use serde_json::{Value, json};

/// A provider that is believed for its tokens; its UID is its name's.
fn provider(namespace: &str, name: &str, prefix: &str) -> Value {
    let issuer = format!("https://{namespace}.{name}.example.com");
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "TrustedIdentityProvider",
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{namespace}-{name}"), "generation": 1,
            "creationTimestamp": "2030-01-01T00:00:00Z",
        },
        "spec": { "prefix": prefix, "oidc": { "issuer": issuer, "audiences": ["here"] } },
    })
}

fn source(namespace: &str, name: &str, user: &str) -> Value {
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Source",
        "metadata": { "namespace": namespace, "name": name, "generation": 1 },
        "spec": { "userName": user },
    })
}

fn cluster_source(name: &str, user: &str) -> Value {
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "ClusterSource",
        "metadata": { "name": name, "generation": 1 }, "spec": { "userName": user },
    })
}

/// As the manifests bring it: without rules.
fn empty_role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": names::IMPERSONATION_ROLE, "labels": { "kept": "yes" } }, "rules": null,
    })
}

fn typed<K: serde::de::DeserializeOwned>(object: &Value) -> K {
    serde_json::from_value(object.clone()).unwrap()
}

/// Names in the rules for users, or for groups, in the order in which they stand there.
fn listed(role: &ClusterRole, resource: &str) -> Vec<String> {
    let rules = role.rules.iter().flatten();
    let of_kind = rules.filter(|rule| rule.resources == Some(vec![resource.to_owned()]));
    of_kind.flat_map(|rule| rule.resource_names.clone().unwrap()).collect()
}

#[test]
fn the_objects_of_these_tests_can_be_read() {
    typed::<TrustedIdentityProvider>(&provider("a", "b", "c/"));
    typed::<Source>(&source("a", "b", "c"));
    typed::<ClusterSource>(&cluster_source("b", "c"));
    typed::<ClusterRole>(&empty_role());
}
