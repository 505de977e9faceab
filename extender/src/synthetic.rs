//! Made-up targets, for benchmarks of the real server without clusters behind it (feature `synthetic`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashSet;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use multicluster_api::names::HOSTNAME;
use multicluster_api::summary::SHARD_PREFIX;
use multicluster_api::{ClusterSummary, ClusterSummaryFields, NodeEntry, NodeSummary, NodeSummaryFields, TargetRef};

use crate::core::nodes::Shard;
use crate::index::Index;

/// Nodes in a shard, as agents publish them.
const SHARD: usize = 200;
/// Namespace of the pods that may be asked about.
pub const NAMESPACE: &str = "shop";
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Name of the `number`th ClusterTarget.
pub fn target(number: usize) -> TargetRef {
    TargetRef::cluster(format!("synthetic{number}"))
}

/// Put `targets` ClusterTargets with `nodes` nodes each into the index. A tenth of the nodes is full, a tenth is tainted,
/// and each has a hostname and a zone of its target.
pub fn fill(index: &Index, targets: usize, nodes: usize) {
    index.namespace_served(NAMESPACE);
    for number in 0..targets {
        let target = target(number);
        index.connected(&target, None);
        index.summary(&target, Some(&summary(nodes)), Instant::now());
        let mut listed = AHashSet::new();
        for (shard, start) in (0..nodes).step_by(SHARD).enumerate() {
            let entries = (start..nodes.min(start + SHARD))
                .map(|node| entry(number, node))
                .collect();
            let name = format!("{SHARD_PREFIX}{shard}");
            let fields = NodeSummaryFields {
                pods_resource_version: "1".into(),
                nodes: entries,
            };
            index.shard(&target, &name, Shard::new(&NodeSummary::new(&name, fields)));
            listed.insert(name);
        }
        index.shards_listed(&target, &listed);
        index.attempts_listed(&target, &AHashSet::new());
    }
}

/// Let the targets' agents be heard of as long as the process lives.
pub fn keep_fresh(index: Arc<Index>) {
    tokio::spawn(async move {
        let mut beats = tokio::time::interval(HEARTBEAT);
        loop {
            beats.tick().await;
            for (target, ..) in index.conditions(Instant::now()) {
                index.summary(&target, Some(&summary(1)), Instant::now());
            }
        }
    });
}

fn summary(nodes: usize) -> ClusterSummary {
    let fields = ClusterSummaryFields {
        allocatable: list(&[
            ("cpu", format!("{}", 16 * nodes)),
            ("memory", format!("{}Gi", 64 * nodes)),
        ]),
        heartbeat_time: Some(MicroTime(Timestamp::now())),
        node_summaries: Some(nodes.div_ceil(SHARD) as i32),
        ..ClusterSummaryFields::default()
    };
    ClusterSummary::new(multicluster_api::names::CLUSTER_SUMMARY, fields)
}

fn entry(target: usize, node: usize) -> NodeEntry {
    let name = format!("node-{target}-{node}");
    let used = if node % 10 == 9 {
        "16".to_owned()
    } else {
        format!("{}m", 4000 + node * 37 % 8000)
    };
    let mut entry = NodeEntry {
        labels: BTreeMap::from([
            (HOSTNAME.into(), name.clone()),
            (
                "kubernetes.io/arch".into(),
                if node.is_multiple_of(4) { "arm64" } else { "amd64" }.into(),
            ),
            ("kubernetes.io/os".into(), "linux".into()),
            ("node.kubernetes.io/instance-type".into(), "m7.4xlarge".into()),
            (
                "topology.kubernetes.io/region".into(),
                format!("region-{}", target % 20),
            ),
            (
                "topology.kubernetes.io/zone".into(),
                format!("region-{}-{}", target % 20, node % 3),
            ),
        ]),
        allocatable: list(&[("cpu", "16".into()), ("memory", "64Gi".into()), ("pods", "110".into())]),
        requested: list(&[
            ("cpu", used),
            ("memory", format!("{}Mi", 8000 + node * 91 % 32_000)),
            ("pods", "40".into()),
        ]),
        name,
        ..NodeEntry::default()
    };
    if node % 10 == 8 {
        entry.taints.push(k8s_openapi::api::core::v1::Taint {
            key: "dedicated".into(),
            value: Some("gpu".into()),
            effect: "NoSchedule".into(),
            time_added: None,
        });
    }
    entry
}

fn list(amounts: &[(&str, String)]) -> BTreeMap<String, Quantity> {
    amounts
        .iter()
        .map(|(name, amount)| ((*name).to_owned(), Quantity(amount.clone())))
        .collect()
}
