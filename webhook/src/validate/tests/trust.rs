//! TrustedIdentityProviders and Kubeconfigs.

use serde_json::json;

use super::*;

#[test]
fn kubeconfigs_that_can_work_are_allowed_and_others_told_all_that_is_wrong() {
    let cluster = json!({"server": "https://proxy.example.com:8443"});
    for spec in [
        json!({"secretName": "eu", "cluster": cluster}),
        json!({"secretName": "eu", "cluster": cluster, "certificate": {"id": "scheduler", "expirationSeconds": 600}}),
        json!({"secretName": "eu", "cluster": cluster, "token": {"audience": "multicluster.admiralty.io/eu"}}),
    ] {
        assert_eq!(judged(validate_kubeconfig, None, &with_spec(&spec)), "", "{spec}");
    }
    let spec = json!({
        "secretName": "A", "cluster": {"server": "http://a", "certificateAuthorityData": "a"},
        "token": {"serviceAccountName": "A", "audience": "https://kubernetes.default.svc", "expirationSeconds": 1},
    });
    let message = judged(validate_kubeconfig, None, &with_spec(&spec));
    for field in [
        "spec.secretName",
        "spec.cluster.server",
        "spec.cluster.certificateAuthorityData",
        "spec.token.serviceAccountName",
        "spec.token.audience",
        "spec.token.expirationSeconds",
    ] {
        assert!(message.contains(field), "{field}: {message}");
    }
}

#[test]
fn providers_that_can_work_are_allowed_and_others_told_all_that_is_wrong() {
    let oidc = json!({"issuer": "https://issuer.example.com", "audiences": ["multicluster.admiralty.io/eu"]});
    let good = json!({"prefix": "spiffe://management/", "oidc": oidc, "identities": ["ns/a/id/b"], "groups": ["a"]});
    assert_eq!(judged(validate_trusted_identity_provider, None, &with_spec(&good)), "");
    let spec = json!({
        "prefix": "system:", "oidc": {"issuer": "http://a", "audiences": ["a b"]}, "identities": ["alice"], "groups": [""],
    });
    let message = judged(validate_trusted_identity_provider, None, &with_spec(&spec));
    for field in [
        "spec.prefix",
        "spec.oidc.issuer",
        "spec.oidc.audiences[0]",
        "spec.identities[0]",
        "spec.groups[0]",
    ] {
        assert!(message.contains(field), "{field}: {message}");
    }
    let message = judged(
        validate_trusted_identity_provider,
        None,
        &with_spec(&json!({"prefix": "a:"})),
    );
    assert!(
        message.contains("spec.certificateAuthorityData") && message.contains("spec.oidc"),
        "{message}"
    );
}
