//! What is refused, and what its user reads.

use multicluster_api::names;
use serde_json::json;

use crate::testing::Pod;

#[test]
fn denials_say_what_to_write() {
    let proxy = Pod::elected().mutated().1;
    for (pod, hints) in [
        (
            Pod::elected().spec("nodeName", json!("worker-1")),
            &["spec.nodeName", "worker-1", "remove"][..],
        ),
        (
            Pod::elected().annotation(names::SOURCE_POD_MANIFEST, "spec: {}"),
            &[names::SOURCE_POD_MANIFEST, "leave this annotation out"],
        ),
        (
            Pod::elected().annotation(names::SOURCE_POD_MANIFEST, ""),
            &[names::SOURCE_POD_MANIFEST, "leave this annotation out"],
        ),
        (
            proxy.clone().metadata("finalizers", json!(["example.com/other"])),
            &[names::SOURCE_POD_MANIFEST, "leave this annotation out"],
        ),
        (
            proxy.clone().metadata("labels", json!({})),
            &[names::SOURCE_POD_MANIFEST, "leave this annotation out"],
        ),
        (
            proxy.annotation(names::SOURCE_POD_MANIFEST, "spec: 3"),
            &[names::SOURCE_POD_MANIFEST, "leave this annotation out"],
        ),
        (
            Pod::elected().annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, "nodeSelecter: {}"),
            &[names::PROXY_POD_SCHEDULING_CONSTRAINTS, "nodeSelecter", "write YAML"],
        ),
        (
            Pod::elected().annotation(names::NO_PREFIX_LABEL_REGEXP, "("),
            &[names::NO_PREFIX_LABEL_REGEXP, "write a regular expression"],
        ),
        (
            Pod::elected().annotation(names::FENCE_AFTER, "5s"),
            &[names::FENCE_AFTER, "too short", "from 20s to 24h"],
        ),
    ] {
        let denial = pod.denial();
        assert_eq!((denial.code, denial.reason), (422, "Invalid"));
        assert!(
            hints.iter().all(|hint| denial.message.contains(hint)),
            "{}",
            denial.message
        );
    }
}

#[test]
fn pods_that_cannot_be_read_are_denied_without_a_word_of_them() {
    for pod in [
        Pod(json!({"metadata": {"annotations": {names::ELECT: ""}}})),
        Pod(json!({"metadata": {"annotations": {names::ELECT: ""}}, "spec": null})),
        Pod(json!({"metadata": {"annotations": {names::ELECT: ""}}, "spec": "secret"})),
        Pod(json!({"metadata": {"annotations": {names::ELECT: {"secret": 1}}}, "spec": {}})),
        Pod(json!({"metadata": {"annotations": "secret"}, "spec": {}})),
        Pod(json!({"metadata": "secret"})),
        Pod(json!("secret")),
        Pod::elected().spec("terminationGracePeriodSeconds", json!("secret")),
        Pod::elected().spec("schedulerName", json!(["secret"])),
        // What is saved now could not be read later.
        Pod::elected().tolerations([json!({"tolerationSeconds": "secret"})]),
        Pod::elected().spec("nodeSelector", json!({"a": ["secret"]})),
        Pod::elected().spec("affinity", json!({"nodeAffinity": "secret"})),
    ] {
        let denial = pod.denial();
        assert_eq!(denial.code, 400, "{pod:?}");
        assert!(!denial.message.contains("secret"), "{}", denial.message);
    }
}

#[test]
fn an_empty_node_name_is_none() {
    Pod::elected().spec("nodeName", json!("")).mutated();
}
