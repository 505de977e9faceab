//! The pod as it was submitted.

use multicluster_api::names;
use multicluster_api::options::SourceManifest;
use serde_json::{Value, json};

use crate::testing::Pod;

fn saved(pod: &Pod) -> Value {
    serde_json::from_str(
        pod.0["metadata"]["annotations"][names::SOURCE_POD_MANIFEST]
            .as_str()
            .unwrap(),
    )
    .unwrap()
}

#[test]
fn the_pod_is_kept_as_submitted_without_what_the_api_server_added() {
    let pod = Pod::elected()
        .metadata("uid", json!("0123"))
        .annotation("example.com/quoted", "\"é\n\u{1}");
    let manifest = saved(&pod.mutated().1);
    assert_eq!(manifest["spec"], pod.0["spec"]);
    assert_eq!(
        manifest["metadata"],
        json!({
            "generateName": "web-7d4b9-",
            "namespace": "shop",
            "labels": {"app": "web"},
            "annotations": {names::ELECT: "", "example.com/quoted": "\"é\n\u{1}"},
        })
    );
    assert_eq!(
        (&manifest["apiVersion"], &manifest["kind"]),
        (&json!("v1"), &json!("Pod"))
    );
    assert_eq!(manifest.as_object().unwrap().len(), 4);
}

#[test]
fn the_namespace_is_the_requests_when_the_pod_has_none() {
    let pod = Pod::elected()
        .metadata("namespace", Value::Null)
        .metadata("generateName", Value::Null)
        .metadata("name", json!("web"));
    let manifest = saved(&pod.mutated().1);
    assert_eq!(manifest["metadata"]["namespace"], "shop");
    assert_eq!(manifest["metadata"]["name"], "web");
}

#[test]
fn it_is_saved_once() {
    let first = Pod::elected().mutated().1;
    let changed = first
        .clone()
        .label("sidecar", "yes")
        .spec("nodeSelector", json!({"a": "b"}));
    assert_eq!(saved(&changed.mutated().1), saved(&first));
}

#[test]
fn a_pod_that_forges_our_marks_gets_no_more_than_its_constraints() {
    let forged = json!({"spec": {"nodeSelector": {"a": "b"}, "containers": [{"name": "x", "securityContext": {"privileged": true}}]}});
    let pod = Pod::elected()
        .annotation(names::USE_CONSTRAINTS_FROM_SPEC, "")
        .annotation(names::SOURCE_POD_MANIFEST, &forged.to_string())
        .label(names::HAS_FINALIZER, "true")
        .metadata("finalizers", json!([names::FINALIZER]));
    let proxy = pod.mutated().1;
    assert_eq!(
        proxy.0["spec"]["nodeSelector"],
        json!({"a": "b", names::PROVIDER: "admiralty"})
    );
    assert_eq!(proxy.0["spec"]["containers"], pod.0["spec"]["containers"]);
}

#[test]
fn a_pod_too_large_to_be_kept_whole_keeps_what_is_read_back() {
    let size = |pod: &Pod| -> usize {
        let annotations = pod.0["metadata"]["annotations"].as_object().unwrap();
        annotations
            .iter()
            .map(|(k, v)| k.len() + v.as_str().unwrap().len())
            .sum()
    };
    let pod = Pod::elected()
        .annotation("example.com/large", &"x".repeat(130 << 10))
        .spec("nodeSelector", json!({"a": "b"}));
    let proxy = pod.mutated().1;
    assert!(size(&proxy) < 256 << 10, "{}", size(&proxy));
    let manifest = SourceManifest::parse(&saved(&proxy).to_string()).unwrap();
    assert_eq!(manifest.constraints.get("nodeSelector"), Some(&json!({"a": "b"})));
    assert_eq!(
        manifest.constraints.get("tolerations"),
        Some(&pod.0["spec"]["tolerations"])
    );
    assert_eq!(manifest.scheduler_name.as_deref(), Some("default-scheduler"));
    assert_eq!(manifest.termination_grace_period_seconds, Some(30));
    assert!(proxy.mutated().0.is_empty());
}
