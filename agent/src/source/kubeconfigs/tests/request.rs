use serde_json::{Value, json};

use super::*;

fn of(conditions: Value) -> Progress {
    let status = serde_json::from_value(json!({ "conditions": conditions })).unwrap();
    progress(Some(&status), "ns/default/id/eu")
}

/// As cert-manager 1.11 writes them.
#[test]
fn conditions_say_what_to_do() {
    let approved = json!({ "type": "Approved", "status": "True", "reason": "cert-manager.io", "message": "approved" });
    let ready = |status: &str, reason: &str, message: &str| json!([approved, { "type": "Ready", "status": status, "reason": reason, "message": message }]);
    let not_found = "Referenced \"Issuer\" not found: issuer.cert-manager.io \"multicluster-identities\" not found";
    let not_ready = "Referenced issuer does not have a Ready status condition";
    let denied = "The CertificateRequest was denied by an approval controller";
    for (conditions, reason, hint) in [
        (json!([]), "NotIssued", "has not approved"),
        (json!([approved]), "NotIssued", "controller runs"),
        (
            ready("False", "Pending", not_found),
            "IssuerNotFound",
            "apply the manifests",
        ),
        (
            ready("False", "Pending", not_ready),
            "IssuerNotReady",
            "see its conditions",
        ),
    ] {
        let Progress::Pending(problem) = of(conditions) else {
            panic!("{reason}")
        };
        assert!(
            problem.reason == reason && problem.message.contains(hint),
            "{problem:?}"
        );
    }
    let invalid = json!([{ "type": "InvalidRequest", "status": "True", "reason": "x", "message": "bad csr" }]);
    let told = json!([{ "type": "Denied", "status": "True", "reason": "policy", "message": "not this name" }]);
    for (conditions, reason, hint) in [
        (ready("False", "Denied", denied), "Denied", "approver"),
        (told, "Denied", "not this name"),
        (invalid, "InvalidRequest", "bad csr"),
        (
            ready("False", "Failed", "key is broken"),
            "IssuerFailed",
            "key is broken",
        ),
    ] {
        let Progress::Failed(problem) = of(conditions) else {
            panic!("{reason}")
        };
        assert!(
            problem.reason == reason && problem.message.contains(hint),
            "{problem:?}"
        );
    }
    assert_eq!(of(ready("True", "Issued", "Certificate fetched")), Progress::Issued);
    assert!(matches!(progress(None, ""), Progress::Pending(_)));
}

#[test]
fn what_others_refuse_may_be_too_long_a_name() {
    let status = json!({ "conditions": [{ "type": "Ready", "status": "False", "reason": "Failed", "message": "no" }] });
    let status = serde_json::from_value(status).unwrap();
    let hinted = |name: &str| match progress(Some(&status), name) {
        Progress::Failed(problem) => problem.message.contains("shorter names"),
        _ => panic!(),
    };
    assert!(!hinted(&"a".repeat(64)));
    assert!(hinted(&"a".repeat(65)));
}
