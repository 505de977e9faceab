//! What a chaperon's status means for binding.

use std::time::Instant;

use multicluster_api::{PodChaperon, TargetRef};
use serde_json::{Value, json};

use crate::core::attempt::{Attempt, Progress};

fn name() -> String {
    multicluster_api::chaperon::chaperon_name("a", "1")
}

fn progress(status: Value) -> Progress {
    let chaperon: PodChaperon = serde_json::from_value(json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "PodChaperon",
        "metadata": {"name": name(), "namespace": "n", "uid": "c", "labels": {"multicluster.admiralty.io/parent-uid": "1"},
            "annotations": {"multicluster.admiralty.io/virtual-node": "admiralty-eu", "multicluster.admiralty.io/parent-name": "a"}},
        "spec": {}, "status": status,
    }))
    .unwrap();
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
