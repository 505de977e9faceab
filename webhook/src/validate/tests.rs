//! What is refused, and what its author reads.

use multicluster_api::names;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::*;
use crate::testing::Pod;

mod trust;

/// The message of the denial, or nothing.
fn message(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allowed => String::new(),
        Verdict::Denied(denial) => denial.message,
        Verdict::Patched(patch) => panic!("{patch}"),
    }
}

type Check = fn(Option<&Object<'_>>, &Object<'_>) -> Verdict;

fn judged(check: Check, old: Option<&Value>, new: &Value) -> String {
    let old = old.map(|old| to_raw_value(old).unwrap());
    let old = old.as_ref().map(|old| Object::parse(old).unwrap());
    message(check(
        old.as_ref(),
        &Object::parse(&to_raw_value(new).unwrap()).unwrap(),
    ))
}

fn with_spec(spec: &Value) -> Value {
    json!({"metadata": {"name": "a"}, "spec": spec})
}

#[test]
fn specs_that_can_work_are_allowed() {
    let secret = |fields: Value| json!({"kubeconfigSecret": fields});
    for (check, spec) in [
        (validate_target as Check, json!({"self": true})),
        (validate_target, secret(json!({"name": "eu-west.3"}))),
        (
            validate_target,
            json!({"self": false, "kubeconfigSecret": {"name": "a", "key": "kube_Config.yaml", "context": "a@b"},
                   "excludedLabelsRegexp": "^(a|b)="}),
        ),
        (validate_cluster_target, json!({"self": true})),
        (validate_cluster_target, secret(json!({"namespace": "ns", "name": "a"}))),
        (validate_source, json!({"userName": "spiffe://cluster/ns/a/id/default"})),
        (validate_source, json!({"userName": "system:serviceaccount:a:b.c"})),
        (validate_source, json!({"serviceAccountName": "a"})),
        (validate_cluster_source, json!({"userName": "alice@example.com"})),
        (
            validate_cluster_source,
            json!({"serviceAccount": {"namespace": "a", "name": "b"}}),
        ),
    ] {
        assert_eq!(judged(check, None, &with_spec(&spec)), "", "{spec}");
    }
}

#[test]
fn specs_that_cannot_work_are_denied_and_told_what_to_write() {
    let secret = |fields: Value| json!({"kubeconfigSecret": fields});
    let both = json!({"self": true, "kubeconfigSecret": {"namespace": "a", "name": "a"}});
    let long = "a".repeat(254);
    for (check, spec, hints) in [
        (
            validate_target as Check,
            json!({}),
            &["write either spec.self: true"][..],
        ),
        (
            validate_target,
            json!({"self": false}),
            &["write either spec.self: true"],
        ),
        (validate_target, both.clone(), &["not both"]),
        (
            validate_target,
            secret(json!({"name": ""})),
            &["spec.kubeconfigSecret.name", "write"],
        ),
        (
            validate_target,
            secret(json!({"name": "A_b"})),
            &["\"A_b\"", "lower case"],
        ),
        (validate_target, secret(json!({"name": "-a"})), &["both ends"]),
        (validate_target, secret(json!({"name": "a..b"})), &["both ends"]),
        (validate_target, secret(json!({"name": long})), &["at most 253"]),
        (
            validate_target,
            secret(json!({"name": "a", "key": ""})),
            &["spec.kubeconfigSecret.key", "\"config\""],
        ),
        (
            validate_target,
            secret(json!({"name": "a", "key": "a/b"})),
            &["spec.kubeconfigSecret.key"],
        ),
        (
            validate_target,
            secret(json!({"name": "a", "context": ""})),
            &["spec.kubeconfigSecret.context", "leave it out"],
        ),
        (
            validate_target,
            json!({"self": true, "excludedLabelsRegexp": "("}),
            &["spec.excludedLabelsRegexp", "RE2"],
        ),
        (
            validate_target,
            json!({"kubeconfigSecret": "a"}),
            &["spec cannot be read", "wrong type"],
        ),
        (
            validate_cluster_target,
            both,
            &["not both", "namespace: ..., name: ..."],
        ),
        (
            validate_cluster_target,
            secret(json!({"name": "a"})),
            &["spec cannot be read"],
        ),
        (
            validate_cluster_target,
            secret(json!({"namespace": "a.b", "name": "a"})),
            &["spec.kubeconfigSecret.namespace"],
        ),
        (validate_source, json!({}), &["write either spec.userName"]),
        (
            validate_source,
            json!({"userName": "a", "serviceAccountName": "b"}),
            &["not both"],
        ),
        (validate_source, json!({"userName": ""}), &["spec.userName"]),
        (validate_source, json!({"userName": " a"}), &["without spaces"]),
        (validate_source, json!({"userName": "a\nb"}), &["cannot be a user"]),
        (
            validate_source,
            json!({"userName": "system:anonymous"}),
            &["system:serviceaccount:NAMESPACE:NAME"],
        ),
        (
            validate_source,
            json!({"userName": "system:masters"}),
            &["belongs to Kubernetes"],
        ),
        (
            validate_source,
            json!({"userName": "system:serviceaccount:a"}),
            &["belongs to Kubernetes"],
        ),
        (
            validate_source,
            json!({"userName": "system:serviceaccount:a:b:c"}),
            &["belongs to Kubernetes"],
        ),
        (
            validate_source,
            json!({"serviceAccountName": "A"}),
            &["spec.serviceAccountName"],
        ),
        (
            validate_cluster_source,
            json!({"serviceAccount": {"namespace": "", "name": "a"}}),
            &["spec.serviceAccount.namespace"],
        ),
        (
            validate_cluster_source,
            json!({"serviceAccount": {"namespace": "a", "name": ""}}),
            &["spec.serviceAccount.name"],
        ),
        (
            validate_cluster_source,
            json!({"userName": "system:node:a"}),
            &["belongs to Kubernetes"],
        ),
    ] {
        let message = judged(check, None, &with_spec(&spec));
        assert!(!message.is_empty(), "allowed: {spec}");
        assert!(hints.iter().all(|hint| message.contains(hint)), "{spec}: {message}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let spec = json!({"kubeconfigSecret": {"name": "A", "key": "/"}, "excludedLabelsRegexp": "("});
    let message = judged(validate_target, None, &with_spec(&spec));
    for field in ["kubeconfigSecret.name", "kubeconfigSecret.key", "excludedLabelsRegexp"] {
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn what_was_let_in_before_can_still_be_written_and_deleted() {
    let bad = with_spec(&json!({}));
    let mut labelled = bad.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(judged(validate_target, Some(&bad), &labelled), "");
    let other = with_spec(&json!({"kubeconfigSecret": {"name": "A"}}));
    assert_ne!(judged(validate_target, Some(&bad), &other), "");
    let mut deleted = other;
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(judged(validate_target, Some(&bad), &deleted), "");
    assert_ne!(judged(validate_target, None, &json!({"metadata": {}})), "");
}

#[test]
fn pods_are_judged_at_their_creation() {
    let proxy = Pod::elected().mutated().1;
    for (pod, denied) in [
        (Pod::plain(), false),
        (Pod::plain().annotation(names::NO_PREFIX_LABEL_REGEXP, "("), false),
        (proxy.clone(), false),
        (Pod::plain().label(names::HAS_FINALIZER, "true"), true),
        (Pod::elected().annotation(names::NO_PREFIX_LABEL_REGEXP, "("), true),
        (
            Pod::elected().annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, "a: b"),
            true,
        ),
        (proxy.annotation(names::SOURCE_POD_MANIFEST, "spec: 3"), true),
    ] {
        let message = judged(validate_pod, None, &pod.0);
        assert_eq!(!message.is_empty(), denied, "{message} {pod:?}");
        assert!(!denied || message.contains(names::PREFIX), "{message}");
    }
}

#[test]
fn the_saved_manifest_stays() {
    let proxy = Pod::elected().mutated().1;
    let changed = proxy.clone().annotation(names::SOURCE_POD_MANIFEST, "{}");
    let mut removed = proxy.clone();
    removed.0["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(names::SOURCE_POD_MANIFEST);
    let unmarked = |pod: &Pod| pod.clone().metadata("labels", json!({}));
    for (old, new) in [
        (&proxy, &changed),
        (&proxy, &removed),
        (&removed, &proxy),
        (&unmarked(&proxy), &unmarked(&changed)),
        (
            &Pod::plain(),
            &Pod::plain().annotation(names::SOURCE_POD_MANIFEST, "{}"),
        ),
    ] {
        let message = judged(validate_pod, Some(&old.0), &new.0);
        assert!(message.contains(names::SOURCE_POD_MANIFEST), "{message}");
    }
    let deleted = changed.metadata("deletionTimestamp", json!("2026-01-01T00:00:00Z"));
    assert_eq!(judged(validate_pod, Some(&proxy.0), &deleted.0), "");
}

#[test]
fn a_pod_is_elected_at_its_creation_or_never() {
    let proxy = Pod::elected().mutated().1;
    let mut unelected = proxy.clone();
    unelected.0["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(names::ELECT);
    let unlabelled = proxy.clone().metadata("labels", json!({}));
    for (old, new, mark) in [
        (&proxy, &unelected, names::ELECT),
        (&unelected, &proxy, names::ELECT),
        (&Pod::plain(), &Pod::elected(), names::ELECT),
        (&proxy, &unlabelled, names::HAS_FINALIZER),
        (&unlabelled, &proxy, names::HAS_FINALIZER),
        (
            &Pod::plain(),
            &Pod::plain().label(names::HAS_FINALIZER, "true"),
            names::HAS_FINALIZER,
        ),
    ] {
        let message = judged(validate_pod, Some(&old.0), &new.0);
        assert!(message.contains(mark), "{message:?} {new:?}");
    }
}

#[test]
fn updates_of_others_pass() {
    let proxy = Pod::elected().mutated().1;
    let broken = proxy.clone().annotation(names::NO_PREFIX_LABEL_REGEXP, "(");
    for (old, new) in [
        (&proxy, &proxy.clone().metadata("finalizers", Value::Null)),
        (&proxy, &proxy.clone().label("a", "b").annotation("example.com/x", "(")),
        (&proxy, &proxy.clone().spec("nodeName", json!("admiralty-a"))),
        (
            &proxy,
            &proxy.clone().annotation(names::NO_PREFIX_LABEL_REGEXP, "^app="),
        ),
        (&broken, &broken.clone().label("a", "b")),
        (
            &Pod::plain(),
            &Pod::plain().annotation(names::NO_PREFIX_LABEL_REGEXP, "("),
        ),
    ] {
        assert_eq!(judged(validate_pod, Some(&old.0), &new.0), "", "{new:?}");
    }
    let message = judged(validate_pod, Some(&proxy.0), &broken.0);
    assert!(message.contains(names::NO_PREFIX_LABEL_REGEXP), "{message}");
}

#[test]
fn a_fence_stays_as_it_was_promised() {
    let proxy = Pod::elected().mutated().1;
    let fenced = Pod::elected().annotation(names::FENCE_AFTER, "60s").mutated().1;
    let longer = fenced.clone().annotation(names::FENCE_AFTER, "2m");
    for (old, new) in [(&proxy, &fenced), (&fenced, &longer), (&fenced, &proxy)] {
        let (mut old, mut new) = (old.0.clone(), new.0.clone());
        for pod in [&mut old, &mut new] {
            pod["metadata"]["annotations"][names::SOURCE_POD_MANIFEST] = json!("{}");
        }
        let message = judged(validate_pod, Some(&old), &new);
        assert!(message.contains(names::FENCE_AFTER), "{message}");
    }
    assert_eq!(
        judged(validate_pod, Some(&fenced.0), &fenced.clone().label("a", "b").0),
        ""
    );
}
