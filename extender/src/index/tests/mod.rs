//! What the index answers, given watch events.

mod filter;
mod hostile;
mod namespaces;
mod placing;
mod wake;

use std::time::{Duration, Instant};

use ahash::AHashSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use multicluster_api::raw::RawPod;
use multicluster_api::{ClusterSummary, ClusterSummaryFields, NodeEntry, TargetRef};

use super::{Candidate, Index, Policy, Verdict, Wakes};
use crate::core::attempt::{Attempt, Progress};
use crate::core::builders::{list, shard, typed};
use crate::core::pod::SourcePod;
use crate::core::score::ScorePolicy;

pub(crate) const STALE_AFTER: Duration = Duration::from_secs(8);

pub(crate) const POLICY: Policy = Policy {
    stale_after: STALE_AFTER,
    failure_ttl: Duration::from_secs(60),
    score: ScorePolicy::Spread,
};

/// Without targets; the webhook serves the namespaces that the tests use.
pub(crate) fn index() -> (Index, Wakes) {
    let (index, wakes) = Index::new(POLICY);
    // Those of the pods here.
    ["default", "prod"].iter().for_each(|name| index.namespace_served(name));
    (index, wakes)
}

pub(crate) fn summary(beat: i64, publishes_nodes: bool) -> ClusterSummary {
    let fields = ClusterSummaryFields {
        allocatable: list(&[("cpu", "8"), ("memory", "16Gi"), ("pods", "220")]),
        heartbeat_time: Some(MicroTime(Timestamp::from_second(beat).unwrap())),
        node_summaries: publishes_nodes.then_some(1),
        ..ClusterSummaryFields::default()
    };
    ClusterSummary::new("singleton", fields)
}

/// A target that is connected, listed and fresh.
pub(crate) fn ready(index: &Index, target: &TargetRef, client: Option<kube::Client>, nodes: Vec<NodeEntry>) {
    index.connected(target, client);
    index.summary(target, Some(&summary(1, true)), Instant::now());
    index.shard(target, "shard-0", shard(nodes));
    index.shards_listed(target, &AHashSet::from(["shard-0".to_owned()]));
    index.attempts_listed(target, &AHashSet::new());
}

pub(crate) fn attempt(chaperon: &str, progress: Progress) -> Attempt {
    Attempt {
        namespace: "default".into(),
        name: "a-1".into(),
        uid: chaperon.into(),
        progress,
        since: Instant::now(),
    }
}

fn filter(index: &Index, pod: &RawPod, targets: &[&TargetRef]) -> Vec<Verdict> {
    filter_at(index, pod, targets, Instant::now())
}

fn filter_at(index: &Index, pod: &RawPod, targets: &[&TargetRef], now: Instant) -> Vec<Verdict> {
    let pod = SourcePod::read(&typed(pod)).unwrap();
    let names: Vec<_> = targets.iter().map(|target| target.virtual_node()).collect();
    let candidates: Vec<_> = names
        .iter()
        .map(|name| Candidate {
            name: name.as_str(),
            labelled_virtual: false,
        })
        .collect();
    index.filter(&pod, &candidates, now)
}

fn failed(reason: &str) -> Verdict {
    Verdict::Failed(reason.to_owned().into())
}

fn unresolvable(reason: &str) -> Verdict {
    Verdict::Unresolvable(reason.to_owned().into())
}
