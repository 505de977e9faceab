//! Summaries of a target that lies, or talks too much.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use multicluster_api::resources::Resources;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::*;
use crate::core::builders::{node, proxy_pod, spec, wanted};

fn eu() -> TargetRef {
    TargetRef::cluster("eu")
}

/// Amounts that are hard to read, or to reckon with.
fn amount() -> impl Strategy<Value = String> {
    let hard = vec![
        "-1",
        "0",
        "1",
        "1500m",
        "1e60",
        "1e999999",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775807Ei",
        "-9223372036854775807Ei",
        "0.000000001",
        "1n",
        "",
        "NaN",
        "\0",
    ];
    prop_oneof![select(hard).prop_map(String::from), "-?[0-9]{1,20}(m|k|Ki|Ei|e[0-9])?"]
}

fn amounts() -> impl Strategy<Value = std::collections::BTreeMap<String, Quantity>> {
    let names = select(vec!["cpu", "memory", "pods", "ephemeral-storage", "example.com/gpu"]);
    prop::collection::btree_map(names.prop_map(String::from), amount().prop_map(Quantity), 0..5)
}

fn nodes() -> impl Strategy<Value = Vec<NodeEntry>> {
    let node = ("n[0-3]", amounts(), amounts()).prop_map(|(name, allocatable, requested)| NodeEntry {
        name,
        allocatable,
        requested,
        ..NodeEntry::default()
    });
    prop::collection::vec(node, 0..6)
}

/// Has any node room for one more, by the plainest reckoning?
fn has_room(nodes: &[NodeEntry], wanted: &Resources) -> bool {
    nodes.iter().any(|node| {
        let mut free = Resources::parse(&node.allocatable).unwrap_or_default();
        Resources::parse(&node.requested).is_ok_and(|requested| {
            free.sub(&requested);
            wanted.lacking(&free).next().is_none()
        })
    })
}

proptest! {
    #[test]
    fn nothing_fits_where_there_is_no_room_whatever_the_amounts(nodes in nodes(), cpu in select(vec!["0", "1", "9E"])) {
        let (index, _wakes) = index();
        ready(&index, &eu(), None, nodes.clone());
        let pod = proxy_pod("a", "1", spec(cpu));
        let wanted = SourcePod::read(&typed(&pod)).unwrap().proxy.unwrap().wanted;
        let passed = filter(&index, &pod, &[&eu()])[0] == Verdict::Pass;
        prop_assert_eq!(passed, has_room(&nodes, &wanted.requests));
        let _ = index.assume(&eu(), "2", &wanted, false);
        let _ = filter(&index, &pod, &[&eu()]);
        let node = eu().virtual_node();
        let candidate = Candidate { name: node.as_str(), labelled_virtual: true };
        let score = index.prioritize(&SourcePod::read(&typed(&pod)).unwrap(), &[candidate], Instant::now())[0];
        prop_assert!((0..=10).contains(&score));
    }
}

#[test]
fn a_shard_of_ten_thousand_nodes_and_long_labels_costs_moments() {
    let entry = |number: usize| {
        let mut entry = node(&format!("n{number}"));
        entry.labels.insert(format!("key-{number}"), "v".repeat(100));
        entry
    };
    let mut nodes: Vec<_> = (0..10_000).map(entry).collect();
    nodes[0].labels.insert("long".into(), "v".repeat(1 << 20));
    let (index, _wakes) = index();
    let begin = Instant::now();
    ready(&index, &eu(), None, nodes);
    let pod = proxy_pod("a", "1", spec("1"));
    for _ in 0..10 {
        assert_eq!(filter(&index, &pod, &[&eu()]), [Verdict::Pass]);
    }
    let unpinned = wanted(&[("cpu", "5")], json!({}));
    assert!(index.assume(&eu(), "2", &unpinned, false).is_err());
    // Optimised, it is a hundred times less.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}
