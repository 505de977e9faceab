use multicluster_api::TargetRef;
use serde_json::json;

use super::*;
use crate::facts::Program;

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

fn seen(ready: &str) -> Seen {
    let target: multicluster_api::Target = serde_json::from_value(json!({
        "apiVersion": "a/v1", "kind": "Target", "metadata": { "name": "eu", "namespace": "default" },
        "spec": { "self": true },
        "status": { "conditions": [{
            "type": "Ready", "status": ready, "reason": "Why", "message": "because", "lastTransitionTime": at(-60).to_string(),
        }]},
    }))
    .unwrap();
    let node: String = TargetRef::namespaced("default", "eu").virtual_node().into();
    let pod = |node: &str, phase: &str| {
        let container = json!({ "name": "a", "resources": { "requests": { "cpu": "500m" } } });
        let pod = json!({
            "metadata": {}, "spec": { "nodeName": node, "containers": [container] }, "status": { "phase": phase },
        });
        serde_json::from_value(pod).unwrap()
    };
    Seen {
        context: "management".into(),
        targets: vec![(&target).into()],
        nodes: vec![
            serde_json::from_value(json!({
                "metadata": { "name": node }, "status": { "allocatable": { "cpu": "8", "memory": "8Gi" } },
            }))
            .unwrap(),
        ],
        pods: vec![
            pod(&node, "Running"),
            pod(&node, "Running"),
            pod(&node, "Succeeded"),
            pod("other", "Running"),
        ],
        ..Seen::default()
    }
}

#[test]
fn a_target_shows_what_it_has_and_what_runs_there() {
    let status = Status::of(&seen("True"), at(0));
    let target = &status.targets[0];
    assert!(status.is_well() && target.ready);
    assert_eq!(
        (
            target.pods,
            target.requested["cpu"].as_str(),
            target.allocatable["cpu"].as_str()
        ),
        (2, "1", "8")
    );
    assert_eq!(target.seconds, Some(60));
    assert!(status.people().contains("default/eu"));
}

#[test]
fn a_target_that_is_not_ready_says_why() {
    let status = Status::of(&seen("False"), at(0));
    assert!(!status.is_well());
    assert!(
        status.people().contains("admiralty-default-eu: because"),
        "{}",
        status.people()
    );
}

#[test]
fn credentials_and_certificates_end() {
    for (left, level) in [(-1, Level::Error), (60, Level::Warning), (3600, Level::Ok)] {
        let mut seen = seen("True");
        seen.credentials.insert("admiralty-default-eu".into(), at(left));
        assert_eq!(Status::of(&seen, at(0)).targets[0].level, level, "{left}");
    }
    for (end, level) in [
        (Some(-1), Level::Error),
        (Some(86400), Level::Warning),
        (Some(99 * 86400), Level::Ok),
        (None, Level::Error),
    ] {
        let mut seen = seen("True");
        seen.certificates.insert("multicluster-ca".into(), end.map(at));
        assert_eq!(Status::of(&seen, at(0)).certificates[0].level, level, "{end:?}");
    }
}

#[test]
fn a_component_needs_its_replicas() {
    for (ready, level) in [(0, Level::Error), (1, Level::Warning), (2, Level::Ok)] {
        let mut seen = seen("True");
        seen.programs.insert(
            "multicluster-agent".into(),
            Program {
                wanted: 2,
                ready,
                ..Program::default()
            },
        );
        assert_eq!(Status::of(&seen, at(0)).components[0].level, level, "{ready}");
    }
}
