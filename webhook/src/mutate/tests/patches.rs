//! The patch as a whole.

use insta::assert_json_snapshot;
use multicluster_api::names;
use serde_json::{Value, json};

use crate::testing::Pod;
use crate::verdict::Verdict;

#[test]
fn pods_that_are_not_elected_stay_as_they_are() {
    assert_eq!(Pod::plain().verdict(), Verdict::Allowed);
    assert_eq!(Pod::plain().metadata("labels", Value::Null).verdict(), Verdict::Allowed);
    let other = Pod::plain().annotation("example.com/elect", "");
    assert_eq!(other.verdict(), Verdict::Allowed);
}

#[test]
fn an_elected_pod_becomes_a_proxy_pod() {
    assert_json_snapshot!(Pod::elected().mutated().0);
}

#[test]
fn the_value_of_the_annotation_does_not_matter() {
    for value in ["", "true", "false", "no"] {
        let (_, pod) = Pod::plain().annotation(names::ELECT, value).mutated();
        assert_eq!(pod.0["spec"]["schedulerName"], names::PROXY_SCHEDULER);
    }
}

#[test]
fn labels_and_finalizers_of_others_stay() {
    let pod = Pod::elected().metadata("finalizers", json!(["example.com/other"]));
    let (_, pod) = pod.mutated();
    assert_eq!(
        pod.0["metadata"]["finalizers"],
        json!(["example.com/other", names::FINALIZER])
    );
    assert_eq!(
        pod.0["metadata"]["labels"],
        json!({"app": "web", names::HAS_FINALIZER: "true"})
    );
}

#[test]
fn a_pod_without_labels_gets_them() {
    let (_, pod) = Pod::elected().metadata("labels", Value::Null).mutated();
    assert_eq!(pod.0["metadata"]["labels"], json!({names::HAS_FINALIZER: "true"}));
}

#[test]
fn a_wrong_mark_is_put_right() {
    let (_, pod) = Pod::elected().label(names::HAS_FINALIZER, "false").mutated();
    assert_eq!(pod.0["metadata"]["labels"][names::HAS_FINALIZER], "true");
}

#[test]
fn scheduling_gates_stay() {
    let gates = json!([{"name": "kueue.x-k8s.io/admission"}]);
    let (_, pod) = Pod::elected().spec("schedulingGates", gates.clone()).mutated();
    assert_eq!(pod.0["spec"]["schedulingGates"], gates);
}

#[test]
fn fields_that_the_api_server_has_not_set_are_added() {
    let pod = Pod::elected()
        .spec("schedulerName", Value::Null)
        .spec("terminationGracePeriodSeconds", Value::Null)
        .spec("tolerations", Value::Null);
    let (_, pod) = pod.mutated();
    assert_eq!(pod.0["spec"]["schedulerName"], names::PROXY_SCHEDULER);
    assert_eq!(pod.0["spec"]["terminationGracePeriodSeconds"], 0);
    assert_eq!(pod.0["spec"]["tolerations"].as_array().unwrap().len(), 4);
}

#[test]
fn where_another_pod_was_tried_is_left_out() {
    let (_, pod) = Pod::elected().annotation(names::ATTEMPTED_IN, "admiralty-eu").mutated();
    assert_eq!(pod.0["metadata"]["annotations"].get(names::ATTEMPTED_IN), None);
}
