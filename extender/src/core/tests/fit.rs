//! Given nodes and a pod: does it fit, and if not, why?

use serde_json::{Value, json};

use crate::core::builders::{NodeExt, node, shard, wanted};
use crate::core::fit::{Nodes, Overlay};
use crate::core::misfit::Misfit;
use crate::core::nodes::{NodeTaint, Shard};
use multicluster_api::NodeEntry;
use multicluster_api::resources::Resources;

fn nodes(entries: Vec<NodeEntry>) -> Nodes {
    let mut nodes = Nodes::default();
    nodes.apply("shard-0".into(), shard(entries));
    nodes
}

fn short(resources: &[&str]) -> Result<(), Misfit> {
    Err(Misfit::Short(resources.iter().map(|name| (*name).to_owned()).collect()))
}

fn affinity() -> Result<(), Misfit> {
    Err(Misfit::Affinity)
}

fn required(expressions: Value) -> Value {
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}}})
}

#[test]
fn resources_are_those_of_one_node() {
    let two = || vec![node("a").used(&[("cpu", "3")]), node("b").used(&[("memory", "7Gi")])];
    let full = || node("f").used(&[("pods", "110")]);
    let gpu = || {
        node("g")
            .has(&[("example.com/gpu", "2")])
            .used(&[("example.com/gpu", "1")])
    };
    for (what, entries, requests, expected) in [
        ("no nodes", vec![], vec![], Err(Misfit::NoNodes)),
        ("room", two(), vec![("cpu", "2")], Ok(())),
        (
            "what is left, exactly",
            two(),
            vec![("cpu", "1"), ("memory", "8Gi")],
            Ok(()),
        ),
        (
            "cpu here, memory there",
            two(),
            vec![("cpu", "2"), ("memory", "2Gi")],
            short(&["cpu", "memory"]),
        ),
        (
            "too large for any",
            two(),
            vec![("cpu", "5")],
            Err(Misfit::TooLarge("cpu".into())),
        ),
        (
            "no such resource",
            two(),
            vec![("example.com/gpu", "1")],
            Err(Misfit::TooLarge("example.com/gpu".into())),
        ),
        (
            "a gpu is left",
            vec![gpu(), node("a")],
            vec![("example.com/gpu", "1")],
            Ok(()),
        ),
        (
            "two are not",
            vec![gpu(), node("a")],
            vec![("example.com/gpu", "2")],
            short(&["example.com/gpu"]),
        ),
        ("pods count", vec![full()], vec![], short(&["pods"])),
        (
            "of nothing, nothing is needed",
            vec![node("o").used(&[("cpu", "9")])],
            vec![("cpu", "0")],
            Ok(()),
        ),
        (
            "over-committed",
            vec![node("o").used(&[("cpu", "9")])],
            vec![("cpu", "1")],
            short(&["cpu"]),
        ),
    ] {
        let fits = nodes(entries).fits(&wanted(&requests, json!({})), &Overlay::default());
        assert_eq!(fits, expected, "{what}");
    }
}

#[test]
fn selectors_and_affinity_are_held_against_labels_names_and_hostnames() {
    let entries = || {
        vec![
            node("a").label("zone", "z1").label("size", "4"),
            node("b").label("kubernetes.io/hostname", "h"),
        ]
    };
    let field = |name: &str| {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]}}}})
    };
    for (what, constraints, expected) in [
        ("label", json!({"nodeSelector": {"zone": "z1"}}), Ok(())),
        ("other value", json!({"nodeSelector": {"zone": "z2"}}), affinity()),
        (
            "hostname",
            json!({"nodeSelector": {"kubernetes.io/hostname": "a"}}),
            Ok(()),
        ),
        (
            "hostname unlike the name",
            json!({"nodeSelector": {"kubernetes.io/hostname": "h"}}),
            Ok(()),
        ),
        (
            "name unlike the hostname",
            json!({"nodeSelector": {"kubernetes.io/hostname": "b"}}),
            affinity(),
        ),
        ("field", field("b"), Ok(())),
        ("no such name", field("h"), affinity()),
        (
            "label and another's hostname",
            json!({"nodeSelector": {"zone": "z1", "kubernetes.io/hostname": "h"}}),
            affinity(),
        ),
        (
            "In",
            required(json!([{"key": "zone", "operator": "In", "values": ["z0", "z1"]}])),
            Ok(()),
        ),
        (
            "NotIn takes nodes without",
            required(json!([{"key": "zone", "operator": "NotIn", "values": ["z1"]}])),
            Ok(()),
        ),
        (
            "Exists",
            required(json!([{"key": "gpu", "operator": "Exists"}])),
            affinity(),
        ),
        (
            "DoesNotExist",
            required(json!([{"key": "zone", "operator": "DoesNotExist"}])),
            Ok(()),
        ),
        (
            "Gt",
            required(json!([{"key": "size", "operator": "Gt", "values": ["3"]}])),
            Ok(()),
        ),
        (
            "not Gt",
            required(json!([{"key": "size", "operator": "Gt", "values": ["4"]}])),
            affinity(),
        ),
        (
            "Lt",
            required(json!([{"key": "size", "operator": "Lt", "values": ["5"]}])),
            Ok(()),
        ),
        (
            "Gt of no number",
            required(json!([{"key": "zone", "operator": "Gt", "values": ["0"]}])),
            affinity(),
        ),
        (
            "unknown operator",
            required(json!([{"key": "zone", "operator": "Near", "values": ["z1"]}])),
            affinity(),
        ),
        ("an empty term matches nothing", required(json!([])), affinity()),
    ] {
        let fits = nodes(entries()).fits(&wanted(&[], constraints), &Overlay::default());
        assert_eq!(fits, expected, "{what}");
    }
}

#[test]
fn taints_and_cordons_keep_pods_away_unless_tolerated() {
    let tainted = || node("a").taint("k", "v", "NoSchedule");
    let tolerates = |toleration: Value| json!({"tolerations": [toleration]});
    let taint = |effect: &str| {
        Err(Misfit::Taint(NodeTaint {
            key: "k".into(),
            value: "v".into(),
            effect: effect.into(),
        }))
    };
    for (what, entry, constraints, expected) in [
        ("taint", tainted(), json!({}), taint("NoSchedule")),
        (
            "NoExecute too",
            node("a").taint("k", "v", "NoExecute"),
            json!({}),
            taint("NoExecute"),
        ),
        (
            "PreferNoSchedule is advice",
            node("a").taint("k", "v", "PreferNoSchedule"),
            json!({}),
            Ok(()),
        ),
        ("equal", tainted(), tolerates(json!({"key": "k", "value": "v"})), Ok(())),
        (
            "other value",
            tainted(),
            tolerates(json!({"key": "k", "value": "w"})),
            taint("NoSchedule"),
        ),
        (
            "other effect",
            tainted(),
            tolerates(json!({"key": "k", "value": "v", "effect": "NoExecute"})),
            taint("NoSchedule"),
        ),
        (
            "exists",
            tainted(),
            tolerates(json!({"key": "k", "operator": "Exists", "effect": "NoSchedule"})),
            Ok(()),
        ),
        (
            "everything",
            tainted(),
            tolerates(json!({"operator": "Exists"})),
            Ok(()),
        ),
        (
            "operator of later versions",
            tainted(),
            tolerates(json!({"key": "k", "operator": "Gt", "value": "1"})),
            taint("NoSchedule"),
        ),
        ("cordon", node("a").cordoned(), json!({}), Err(Misfit::Cordoned)),
        (
            "tolerated cordon",
            node("a")
                .cordoned()
                .taint("node.kubernetes.io/unschedulable", "", "NoSchedule"),
            tolerates(json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"})),
            Ok(()),
        ),
    ] {
        assert_eq!(
            nodes(vec![entry]).fits(&wanted(&[], constraints), &Overlay::default()),
            expected,
            "{what}"
        );
    }
}

#[test]
fn pods_in_flight_take_room() {
    let nodes = nodes(vec![node("a"), node("b").used(&[("cpu", "3")])]);
    let three = wanted(&[("cpu", "3")], json!({}));
    let taken = Resources {
        cpu_milli: 2000,
        pods: 1,
        ..Resources::default()
    };
    assert_eq!(
        nodes.fits(&three, &Overlay::from_iter([("a".into(), taken.clone())])),
        short(&["cpu"])
    );
    assert_eq!(nodes.fits(&three, &Overlay::from_iter([("b".into(), taken)])), Ok(()));
}

#[test]
fn the_least_allocated_node_is_assumed() {
    let nodes = nodes(vec![node("a").used(&[("cpu", "1")]), node("b"), node("c").cordoned()]);
    let pod = wanted(&[("cpu", "1")], json!({}));
    assert_eq!(nodes.choose(&pod, &Overlay::default()), Some("b"));
    let taken = Resources {
        cpu_milli: 2000,
        pods: 1,
        ..Resources::default()
    };
    assert_eq!(
        nodes.choose(&pod, &Overlay::from_iter([("b".into(), taken)])),
        Some("a")
    );
}

#[test]
fn a_shard_grows_when_a_pod_could_fit_that_did_not() {
    let base = || vec![node("a").used(&[("cpu", "3")]), node("b")];
    for (what, after, grew) in [
        ("same", base(), false),
        ("less free", vec![node("a").used(&[("cpu", "4")]), node("b")], false),
        ("more free", vec![node("a").used(&[("cpu", "2")]), node("b")], true),
        ("a node less", vec![node("b")], false),
        (
            "a node more",
            vec![node("a").used(&[("cpu", "3")]), node("b"), node("c")],
            true,
        ),
        (
            "other labels",
            vec![node("a").used(&[("cpu", "3")]).label("x", "y"), node("b")],
            true,
        ),
        (
            "a new resource",
            vec![node("a").used(&[("cpu", "3")]).has(&[("gpu", "1")]), node("b")],
            true,
        ),
    ] {
        assert_eq!(shard(after).grew_since(&shard(base())), grew, "{what}");
    }
}

#[test]
fn nodes_that_differ_by_hostname_alone_share_a_class() {
    let many = (0..100)
        .map(|i| node(&format!("n{i}")).label("zone", if i % 2 == 0 { "a" } else { "b" }))
        .collect();
    let shard: Shard = shard(many);
    assert_eq!((shard.classes.len(), shard.len()), (2, 100));
    assert_eq!(shard.find("n42").map(|index| shard.name(index)), Some("n42"));
}
