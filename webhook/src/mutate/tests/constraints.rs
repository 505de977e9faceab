//! Where a proxy pod may run.

use insta::assert_json_snapshot;
use multicluster_api::names;
use serde_json::{Value, json};

use crate::testing::{Pod, api_default};

const GIVEN: &str = "nodeSelector: {topology.kubernetes.io/region: eu}
tolerations:
- {key: gpu, operator: Exists}
";

/// A pod with constraints of its own.
fn constrained() -> Pod {
    Pod::elected()
        .spec("nodeSelector", json!({"disk": "ssd"}))
        .spec("affinity", json!({"nodeAffinity": {}}))
        .spec(
            "topologySpreadConstraints",
            json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
        )
        .tolerations([
            json!({"key": "spot", "operator": "Exists"}),
            api_default(names::NOT_READY),
            api_default(names::UNREACHABLE),
        ])
}

fn where_to(pod: &Pod) -> Value {
    let spec = &pod.mutated().1.0["spec"];
    json!({
        "nodeSelector": spec.get("nodeSelector"),
        "tolerations": spec.get("tolerations"),
        "affinity": spec.get("affinity"),
        "topologySpreadConstraints": spec.get("topologySpreadConstraints"),
    })
}

#[test]
fn by_default_the_constraints_are_the_delegates_alone() {
    assert_json_snapshot!(where_to(&constrained()));
}

#[test]
fn the_spec_chooses_when_told_to() {
    assert_json_snapshot!(where_to(
        &constrained().annotation(names::USE_CONSTRAINTS_FROM_SPEC, "")
    ));
}

#[test]
fn the_annotation_chooses_and_wins() {
    let pod = constrained()
        .annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, GIVEN)
        .annotation(names::USE_CONSTRAINTS_FROM_SPEC, "");
    assert_json_snapshot!(where_to(&pod));
}

#[test]
fn nobody_selects_other_nodes_than_virtual_ones() {
    let pod = Pod::elected()
        .annotation(names::USE_CONSTRAINTS_FROM_SPEC, "")
        .spec("nodeSelector", json!({names::PROVIDER: "other"}));
    assert_eq!(where_to(&pod)["nodeSelector"], json!({names::PROVIDER: "admiralty"}));
}

/// What the proxy pod tolerates of this taint.
fn tolerated(pod: &Pod, taint: &str) -> Vec<Value> {
    let tolerations = where_to(pod)["tolerations"].as_array().cloned().unwrap();
    tolerations.into_iter().filter(|t| t["key"] == taint).collect()
}

#[test]
fn who_does_not_say_how_long_to_stay_gets_the_configured_time() {
    let staying = |key| vec![json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30})];
    for pod in [
        Pod::elected(),
        Pod::elected().spec("tolerations", Value::Null),
        Pod::elected().annotation(names::USE_CONSTRAINTS_FROM_SPEC, ""),
        Pod::elected().annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, GIVEN),
        // Says nothing about leaving.
        Pod::elected().tolerations([json!({"key": names::NOT_READY, "operator": "Exists", "effect": "NoSchedule"})]),
    ] {
        for taint in [names::NOT_READY, names::UNREACHABLE] {
            assert_eq!(tolerated(&pod, taint), staying(taint), "{pod:?}");
        }
    }
}

#[test]
fn who_says_how_long_to_stay_is_heard_whichever_constraints_choose() {
    for written in [
        json!({"key": names::NOT_READY, "operator": "Exists", "effect": "NoExecute"}),
        json!({"key": names::NOT_READY, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}),
        json!({"key": names::NOT_READY, "operator": "Exists"}),
        json!({"key": names::NOT_READY, "effect": "NoExecute", "tolerationSeconds": 300}),
    ] {
        let pod = Pod::elected().tolerations([written.clone(), api_default(names::UNREACHABLE)]);
        for pod in [
            pod.clone(),
            pod.clone().annotation(names::USE_CONSTRAINTS_FROM_SPEC, ""),
            pod.annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, GIVEN),
        ] {
            assert_eq!(
                tolerated(&pod, names::NOT_READY),
                std::slice::from_ref(&written),
                "{pod:?}"
            );
            assert_eq!(tolerated(&pod, names::UNREACHABLE)[0]["tolerationSeconds"], 30);
        }
    }
}

#[test]
fn a_toleration_of_everything_stays_but_does_not_open_cordoned_virtual_nodes() {
    let pod = Pod::elected().tolerations([json!({"operator": "Exists"})]);
    for taint in [names::NOT_READY, names::UNREACHABLE] {
        let forever = json!({"key": taint, "operator": "Exists", "effect": "NoExecute"});
        assert_eq!(tolerated(&pod, taint), [forever]);
    }
    let keyless = |pod: &Pod| {
        where_to(pod)["tolerations"]
            .as_array()
            .unwrap()
            .contains(&json!({"operator": "Exists"}))
    };
    assert!(!keyless(&pod));
    assert!(keyless(&pod.annotation(names::USE_CONSTRAINTS_FROM_SPEC, "")));
}

#[test]
fn the_annotations_own_time_wins_over_the_specs() {
    let given = format!(
        "tolerations: [{{key: {}, operator: Exists, effect: NoExecute, tolerationSeconds: 300}}]",
        names::NOT_READY
    );
    let pod = Pod::elected()
        .tolerations([json!({"key": names::NOT_READY, "operator": "Exists"})])
        .annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, &given);
    assert_eq!(tolerated(&pod, names::NOT_READY), [api_default(names::NOT_READY)]);
}

#[test]
fn ours_are_not_there_twice() {
    let pod = Pod::elected().annotation(names::USE_CONSTRAINTS_FROM_SPEC, "");
    let ours = where_to(&pod)["tolerations"].as_array().unwrap()[2..].to_vec();
    let pod = pod.tolerations(ours.clone());
    assert_eq!(tolerated(&pod, names::PROVIDER).len(), 1);
    assert_eq!(tolerated(&pod, names::NETWORK_UNAVAILABLE).len(), 1);
}
