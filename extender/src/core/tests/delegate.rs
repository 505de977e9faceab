//! What is sent to a target.

use multicluster_api::names;
use multicluster_api::raw::RawPod;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::core::builders::{proxy_pod, spec};
use multicluster_api::TargetRef;
use multicluster_api::chaperon::chaperon_name;

use crate::core::delegate::chaperon;

fn annotate(pod: &mut RawPod, key: &str, value: &str) {
    pod.metadata
        .annotations
        .as_mut()
        .unwrap()
        .insert(key.into(), value.into());
}

/// A pod as it looks in a real cluster: admission and the scheduler have been at it.
fn admitted() -> RawPod {
    let token = "kube-api-access-x7k2p";
    let mount = json!({"name": token, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true});
    let data = json!({"name": "data", "mountPath": "/data"});
    let submitted = json!({
        "containers": [{"name": "c", "image": "i", "volumeMounts": [data], "field-of-2030": {"a": 1}}],
        "initContainers": [{"name": "init", "image": "i"}],
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["pod-template-hash"],
            "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}}],
        "schedulerName": "volcano",
        "terminationGracePeriodSeconds": 7,
        "priorityClassName": "high",
        "runtimeClassName": "gvisor",
        "serviceAccountName": "robot",
    });
    let mut pod = proxy_pod(
        "web-6d4cf56db6-abcde",
        "1f0c5b1e-7a52-4b4e-9d0e-0a7a4f1a2b3c",
        submitted,
    );
    pod.spec.extend(
        json!({
            "priority": 1000, "preemptionPolicy": "PreemptLowerPriority", "nodeName": "", "schedulingGates": [],
            "overhead": {"cpu": "100m"}, "future": "kept",
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": token, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            ],
        })
        .as_object()
        .unwrap()
        .clone(),
    );
    let containers = pod.spec["containers"].as_array_mut().unwrap();
    containers[0]["volumeMounts"] = json!([data, mount]);
    pod.spec["initContainers"][0]["volumeMounts"] = json!([mount]);
    annotate(&mut pod, "example.com/note", "hello");
    annotate(&mut pod, "kubectl.kubernetes.io/last-applied-configuration", "{}");
    pod
}

fn target() -> TargetRef {
    TargetRef::cluster("eu")
}

#[test]
fn a_delegate_is_the_visible_pod_with_the_submitted_constraints() {
    insta::assert_yaml_snapshot!(chaperon(&admitted(), "c1", &target()).unwrap());
}

#[test]
fn constraints_that_chose_the_virtual_node_do_not_bind_the_delegate() {
    let mut pod = admitted();
    annotate(&mut pod, names::USE_CONSTRAINTS_FROM_SPEC, "");
    let spec = chaperon(&pod, "c1", &target()).unwrap().spec.pod;
    for field in ["nodeSelector", "affinity", "tolerations", "topologySpreadConstraints"] {
        assert_eq!(spec.get(field), None, "{field}");
    }
}

#[test]
fn selectors_follow_their_labels() {
    let mut pod = admitted();
    annotate(&mut pod, names::NO_PREFIX_LABEL_REGEXP, "^app=");
    let spec = chaperon(&pod, "c1", &target()).unwrap().spec.pod;
    let expression = &spec["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"][0];
    assert_eq!(expression["key"], "app");
    let term = &spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(term["labelSelector"]["matchLabels"], json!({"app": "web"}));
}

#[test]
fn names_are_short_valid_and_always_the_same() {
    assert_eq!(chaperon_name("web-0", "1"), chaperon_name("web-0", "1"));
    assert_ne!(chaperon_name("web-0", "1"), chaperon_name("web-0", "2"));
    assert!(chaperon_name("web-0", "1").starts_with("web-0-"));
}

proptest! {
    #[test]
    fn every_name_is_a_dns_label(pod in "[a-z0-9]([-.a-z0-9]{0,250}[a-z0-9])?", uid in "[0-9a-f-]{36}") {
        let name = chaperon_name(&pod, &uid);
        prop_assert!(name.len() <= 63);
        prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
    }

    /// The virtual node's selector and toleration are the source's affair.
    #[test]
    fn nothing_of_the_virtual_node_reaches_the_target(from_spec in any::<bool>(), selector in prop::option::of("[a-z]{1,5}")) {
        let mut submitted = spec("1");
        if let Some(value) = &selector {
            submitted["nodeSelector"] = json!({"disk": value});
        }
        let mut pod = proxy_pod("a", "1", submitted);
        if from_spec {
            annotate(&mut pod, names::USE_CONSTRAINTS_FROM_SPEC, "");
        }
        let chaperon = chaperon(&pod, "c1", &target()).unwrap();
        let text = serde_json::to_string(&chaperon.spec).unwrap();
        prop_assert!(!text.contains(names::PROVIDER) && !text.contains("admiralty"), "{}", text);
        let expected = selector.filter(|_| !from_spec).map(|value| json!({"disk": value}));
        prop_assert_eq!(chaperon.spec.pod.get("nodeSelector").cloned(), expected as Option<Value>);
        prop_assert!(!chaperon.metadata.labels.unwrap().contains_key(names::HAS_FINALIZER));
        prop_assert!(!chaperon.metadata.annotations.unwrap().contains_key(names::SOURCE_POD_MANIFEST));
    }
}
