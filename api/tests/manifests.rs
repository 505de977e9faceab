//! The manifests of the custom resources are those of the types, and the others use the names that the programs use.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use multicluster_api::{crds, names};
use serde_json::{Value, json};

/// The objects in a file of the manifests.
fn objects(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests").join(file);
    serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn find(file: &str, kind: &str, name: &str) -> Value {
    let objects = objects(file);
    let mut found = objects
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no {kind} {name} in {file}"))
        .clone()
}

#[test]
fn the_manifests_are_generated_from_the_types() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/chart/files/crds");
    for crd in crds::all() {
        let path = dir.join(crds::file_name(&crd));
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == crds::manifest(&crd).unwrap(),
            "{} is out of date: run `make manifests`",
            path.display()
        );
    }
}

#[test]
fn every_manifest_has_its_type() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/chart/files/crds");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    files.retain(|name| name != "kustomization.yaml");
    assert_eq!(files.len(), crds::all().len(), "{files:?}");
}

#[test]
fn no_apply_takes_away_whom_the_proxy_may_impersonate() {
    let file = "overlays/authproxy/rendered.yaml";
    let role = find(file, "ClusterRole", names::IMPERSONATION_ROLE);
    assert_eq!(role.get("rules"), None);
    let binding = find(file, "ClusterRoleBinding", names::IMPERSONATION_ROLE);
    assert_eq!(binding["subjects"][0]["name"], names::AUTHPROXY);
    // The agent may write this role and no other, and the policy looks at it.
    for rule in find(file, "ClusterRole", "multicluster-agent-impersonation")["rules"]
        .as_array()
        .unwrap()
    {
        assert_eq!(rule["resourceNames"], json!([names::IMPERSONATION_ROLE]));
    }
    let policy = find(
        "overlays/authproxy/rendered.yaml",
        "ValidatingAdmissionPolicy",
        "impersonation.multicluster.admiralty.io",
    );
    let rules = &policy["spec"]["matchConstraints"]["resourceRules"];
    assert_eq!(rules[0]["resourceNames"], json!([names::IMPERSONATION_ROLE]));
}

#[test]
fn nobody_else_may_escalate() {
    let mut escalating = vec![];
    for overlay in ["both", "authproxy"] {
        for object in objects(&format!("overlays/{overlay}/rendered.yaml")) {
            let rules = object["rules"].as_array().cloned().unwrap_or_default();
            let verbs = rules.iter().filter_map(|rule| rule["verbs"].as_array()).flatten();
            let powers = verbs.filter(|verb| ["escalate", "impersonate", "*"].iter().any(|power| *verb == power));
            escalating.extend(powers.map(|_| object["metadata"]["name"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(escalating, ["multicluster-agent-impersonation"]);
}

#[test]
fn policies_and_programs_mean_the_same() {
    let file = "overlays/source/rendered.yaml";
    let agent = format!(
        "'system:serviceaccount:{}:multicluster-agent'",
        names::INSTALL_NAMESPACE
    );
    for (policy, words) in [
        (
            "kubeconfig-secrets.multicluster.admiralty.io",
            [names::KUBECONFIG_SECRET, names::PARENT_UID],
        ),
        (
            "kubeconfig-tokens.multicluster.admiralty.io",
            [names::AUDIENCE_PREFIX; 2],
        ),
    ] {
        let spec = &find(file, "ValidatingAdmissionPolicy", policy)["spec"];
        let condition = spec["matchConditions"][0]["expression"].as_str().unwrap();
        assert!(condition.ends_with(&agent), "{condition}");
        for word in words {
            assert!(spec.to_string().contains(&format!("'{word}'")), "{policy}: {word}");
        }
        let binding = &find(file, "ValidatingAdmissionPolicyBinding", policy)["spec"];
        assert_eq!(
            (&binding["policyName"], &binding["validationActions"]),
            (&json!(policy), &json!(["Deny"]))
        );
    }
    let issuer = find("overlays/source/rendered.yaml", "Issuer", names::IDENTITY_ISSUER);
    assert_eq!(issuer["metadata"]["namespace"], names::INSTALL_NAMESPACE);
}
