//! What a chaperon's status means for binding.

use std::time::Instant;

use multicluster_api::{PodChaperon, TargetRef, names};
use serde_json::{Value, json};

use crate::core::attempt::{Attempt, Progress, made_by};

fn name() -> String {
    multicluster_api::chaperon::chaperon_name("a", "1")
}

fn chaperon(name: &str, status: Value) -> PodChaperon {
    serde_json::from_value(json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "PodChaperon",
        "metadata": {"name": name, "namespace": "n", "uid": "c", "labels": {"multicluster.admiralty.io/parent-uid": "1"},
            "annotations": {"multicluster.admiralty.io/virtual-node": "admiralty-eu", "multicluster.admiralty.io/parent-name": "a"}},
        "spec": {}, "status": status,
    }))
    .unwrap()
}

fn progress(status: Value) -> Progress {
    let chaperon = chaperon(&name(), status);
    let (uid, attempt) = Attempt::of(&chaperon, &TargetRef::cluster("eu"), Instant::now()).unwrap();
    assert_eq!((&*uid, &*attempt.name, &*attempt.uid), ("1", name().as_str(), "c"));
    attempt.progress
}

#[test]
fn the_status_tells_how_far_it_came() {
    let unschedulable =
        json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]);
    let scheduled = |version| Progress::Scheduled {
        node: "n1".into(),
        version,
    };
    for (what, status, expected) in [
        ("nothing yet", json!({}), Progress::Waiting),
        (
            "pending",
            json!({"phase": "Pending", "delegate": {"uid": "d"}}),
            Progress::Waiting,
        ),
        (
            "on a node",
            json!({"delegate": {"uid": "d", "nodeName": "n1", "boundResourceVersion": "42"}}),
            scheduled(Some(42)),
        ),
        (
            "versions need be no numbers",
            json!({"delegate": {"uid": "d", "nodeName": "n1", "boundResourceVersion": "x"}}),
            scheduled(None),
        ),
        (
            "failed on its node: the proxy pod shall show it",
            json!({"phase": "Failed", "delegate": {"uid": "d", "nodeName": "n1"}}),
            scheduled(None),
        ),
        (
            "unschedulable",
            json!({"conditions": unschedulable}),
            Progress::Refused("0/3 nodes".into()),
        ),
        (
            "the scheduler makes room",
            json!({"conditions": unschedulable, "nominatedNodeName": "n1"}),
            Progress::Waiting,
        ),
        (
            "gated",
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}),
            Progress::Waiting,
        ),
        (
            "rejected",
            json!({"phase": "Failed", "reason": "Evicted", "message": "gone"}),
            Progress::Refused("Evicted: gone".into()),
        ),
        (
            "delegate deleted",
            json!({"delegate": {"uid": "d", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            Progress::Refused("the delegate pod was deleted".into()),
        ),
    ] {
        assert_eq!(progress(status), expected, "{what}");
    }
}

#[test]
fn what_the_source_says_of_its_files_counts_until_there_is_news_of_the_delegate() {
    let of = |annotations: &[(&str, &str)], status: Value| {
        let mut chaperon = chaperon(&name(), status);
        let ours = chaperon.metadata.annotations.as_mut().unwrap();
        ours.extend(annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let found = Attempt::of(&chaperon, &TargetRef::cluster("eu"), Instant::now());
        found.unwrap().1.progress
    };
    let awaits = (names::AWAITS_FILES, "true");
    let long = "ä".repeat(100_000);
    let refused = (names::FILES_REFUSED, long.as_str());
    assert_eq!(of(&[awaits], json!({})), Progress::AwaitsFiles);
    assert_eq!(of(&[awaits], Value::Null), Progress::AwaitsFiles);
    let Progress::Refused(reason) = of(&[awaits, refused], json!({})) else {
        panic!()
    };
    assert_eq!(reason.chars().count(), 512);
    let running = json!({"delegate": {"uid": "d", "nodeName": "n1"}});
    assert!(matches!(of(&[awaits, refused], running), Progress::Scheduled { .. }));
    let message = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": long}]);
    let Progress::Refused(reason) = of(&[], json!({"conditions": message})) else {
        panic!()
    };
    assert_eq!(reason.chars().count(), 512);
}

#[test]
fn only_the_name_that_follows_from_the_pod_counts() {
    let target = TargetRef::cluster("eu");
    let of = |name: &str| Attempt::of(&chaperon(name, json!({})), &target, Instant::now());
    assert!(of(&name()).is_some());
    assert!(of("another").is_none(), "labels can be copied by anybody");
    let elsewhere = Attempt::of(&chaperon(&name(), json!({})), &TargetRef::cluster("us"), Instant::now());
    assert!(elsewhere.is_none());
}

#[test]
fn a_chaperon_belongs_to_who_made_it_where_that_is_known() {
    for (owner, user, expected) in [
        (Some("a"), Some("a"), true),
        (Some("a"), Some("b"), false),
        (None, Some("b"), true),
        (Some("a"), None, true),
        (None, None, true),
    ] {
        let mut chaperon = chaperon(&name(), json!({}));
        crate::core::delegate::sign(&mut chaperon, owner);
        assert_eq!(made_by(&chaperon, user), expected, "{owner:?} {user:?}");
    }
}
