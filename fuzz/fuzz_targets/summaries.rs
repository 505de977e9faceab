//! Summaries of a half trusted target: the virtual node stays one that the API server takes, and no pod fits where there is
//! no room.
#![no_main]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use libfuzzer_sys::fuzz_target;
use multicluster_agent::source::health::Health;
use multicluster_agent::source::virtual_node::{Wanted, metadata_patch, new_node, status_patch};
use multicluster_api::resources::Resources;
use multicluster_api::syntax::{is_label_value, is_qualified_name};
use multicluster_api::{ClusterSummary, NodeSummary, TargetRef, names, quantity};
use multicluster_extender::core::nodes::Shard;
use multicluster_extender::core::pod::SourcePod;
use multicluster_extender::core::score::ScorePolicy;
use multicluster_extender::index::{Candidate, Index, Policy, Verdict};
use multicluster_fuzz::Input;
use serde_json::json;

fn document() -> serde_json::Value {
    let node = |name: &str| {
        json!({
            "name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64"},
            "taints": [{"key": "k", "value": "v", "effect": "PreferNoSchedule"}],
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110", "example.com/gpu": "2"},
            "requested": {"cpu": "500m", "memory": "1Gi", "pods": "3"},
        })
    };
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "X", "metadata": {"name": "singleton"},
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110", "example.com/gpu": "2"},
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110", "example.com/gpu": "2"},
        "labels": {"topology.kubernetes.io/region": "eu", "a": ""},
        "heartbeatTime": "2030-01-01T00:00:00.000000Z", "nodeSummaries": 1, "agentVersion": "0.1.0",
        "podsResourceVersion": "7", "nodes": [node("n1"), node("n2"), node("n3")],
    })
}

fn pod() -> SourcePod {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "a", "namespace": "default", "uid": "u",
            "annotations": {names::ELECT: "", names::SOURCE_POD_MANIFEST: "{\"spec\":{}}"},
            "labels": {names::HAS_FINALIZER: "true"}},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "example.com/gpu": "1"}}}]},
    }))
    .expect("a pod");
    SourcePod::read(&pod).expect("a proxy pod")
}

fn check_node(target: &TargetRef, summary: &ClusterSummary) {
    let wanted = Wanted::new(target, &summary.spec, None);
    for (key, value) in &wanted.labels {
        assert!(is_qualified_name(key) && is_label_value(value), "{key:?}");
    }
    for amount in wanted.capacity.values().chain(wanted.allocatable.values()) {
        assert!(quantity::value(&amount.0).is_ok_and(|amount| amount >= 0));
    }
    assert_eq!(wanted.labels[names::PROVIDER], names::PROVIDER_VALUE);
    assert!(!wanted.labels.contains_key(names::TARGET_NAME));
    let node = new_node("admiralty-eu", &wanted, &Health::Ready, Timestamp::UNIX_EPOCH);
    assert_eq!(metadata_patch(&node, &wanted), None);
    assert_eq!(
        status_patch(&node, Some(&wanted), &Health::Ready, Timestamp::UNIX_EPOCH),
        None
    );
}

/// Has any node room for one more, by the plainest reckoning?
fn has_room(summary: &NodeSummary, wanted: &Resources) -> bool {
    summary.spec.nodes.iter().any(|node| {
        let mut free = Resources::parse(&node.allocatable).unwrap_or_default();
        let Ok(requested) = Resources::parse(&node.requested) else {
            return false;
        };
        free.sub(&requested);
        wanted.lacking(&free).next().is_none()
    })
}

fuzz_target!(|data: &[u8]| {
    let bytes = Input::of(data, &document()).bytes();
    let target = TargetRef::cluster("eu");
    let summary = serde_json::from_slice::<ClusterSummary>(&bytes);
    if let Ok(summary) = &summary {
        check_node(&target, summary);
    }
    let Ok(nodes) = serde_json::from_slice::<NodeSummary>(&bytes) else {
        return;
    };
    let day = Duration::from_secs(86_400);
    let (index, _wakes) = Index::new(Policy {
        stale_after: day,
        failure_ttl: day,
        score: ScorePolicy::Spread,
    });
    index.connected(&target, None);
    let mut summary = summary.unwrap_or_else(|_| ClusterSummary::new(names::CLUSTER_SUMMARY, Default::default()));
    summary.spec.node_summaries = Some(1);
    index.summary(&target, Some(&summary), Instant::now());
    index.shard(&target, "shard-0", Shard::new(&nodes));
    index.shards_listed(&target, &["shard-0".to_owned()].into_iter().collect());
    index.attempts_listed(&target, &Default::default());
    let (pod, name) = (pod(), target.virtual_node());
    let candidates = [Candidate {
        name: name.as_str(),
        labelled_virtual: true,
    }];
    let wanted = &pod.proxy.as_ref().expect("a proxy pod").wanted;
    let verdict = &index.filter(&pod, &candidates, Instant::now())[0];
    assert!(
        *verdict != Verdict::Pass || has_room(&nodes, &wanted.requests),
        "{verdict:?}"
    );
    let scores = index.prioritize(&pod, &candidates, Instant::now());
    assert!(scores.iter().all(|score| (0..=10).contains(score)));
    let _ = index.assume(&target, "u", wanted, false);
    let _ = (
        index.filter(&pod, &candidates, Instant::now()),
        index.prioritize(&pod, &candidates, Instant::now()),
    );
});
