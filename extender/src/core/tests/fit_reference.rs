//! The packed fit says the same as looking at one node after the other.

use multicluster_api::NodeEntry;
use multicluster_api::resources::Resources;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::core::builders::{NodeExt, list, node, shard, wanted};
use crate::core::fit::{Nodes, Overlay};
use crate::core::pod::Wanted;

fn nodes() -> impl Strategy<Value = Vec<NodeEntry>> {
    let amounts = (0..5i64, 0..9i64, 0..3i64, 0..3i64);
    let looks = (0..3u8, 0..3u8, 0..4u8, any::<bool>());
    prop::collection::vec((amounts, looks), 0..12).prop_map(|nodes| {
        let entry =
            |(index, ((cpu, memory, pods, gpu), (zone, size, taint, cordoned))): (usize, ((i64, i64, i64, i64), _))| {
                let (cpu, memory) = (format!("{cpu}"), format!("{memory}Gi"));
                let (pods, gpu) = (format!("{pods}"), format!("{gpu}"));
                let mut node = node(&format!("n{index}")).has(&[("pods", "2"), ("gpu", "2")]).used(&[
                    ("cpu", &cpu),
                    ("memory", &memory),
                    ("pods", &pods),
                    ("gpu", &gpu),
                ]);
                let (zone, size, taint, cordoned): (u8, u8, u8, bool) = (zone, size, taint, cordoned);
                if zone > 0 {
                    node = node.label("zone", &format!("z{zone}"));
                }
                if size > 0 {
                    node = node.label("size", &size.to_string());
                }
                node = match taint {
                    1 => node.taint("k", "v", "NoSchedule"),
                    2 => node.taint("k", "v", "PreferNoSchedule"),
                    3 => node.label("kubernetes.io/hostname", "n1"),
                    _ => node,
                };
                if cordoned && index % 3 == 0 {
                    node.cordoned()
                } else {
                    node
                }
            };
        nodes.into_iter().enumerate().map(entry).collect()
    })
}

fn requirement() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec!["zone", "size", "kubernetes.io/hostname", "absent"]);
    let operator = prop::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Odd"]);
    let values = prop::collection::vec(prop::sample::select(vec!["z1", "z2", "1", "2", "n0", "n1"]), 0..3);
    (key, operator, values)
        .prop_map(|(key, operator, values)| json!({"key": key, "operator": operator, "values": values}))
}

fn constraints() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(vec!["n0", "n1", "n2"])
        .prop_map(|name| json!([{"key": "metadata.name", "operator": "NotIn", "values": [name]}]));
    let term = (prop::collection::vec(requirement(), 0..3), prop::option::of(field))
        .prop_map(|(labels, fields)| json!({"matchExpressions": labels, "matchFields": fields}));
    let terms = prop::option::of(prop::collection::vec(term, 1..3));
    let selector = prop::option::of(prop::sample::select(vec![
        ("zone", "z1"),
        ("kubernetes.io/hostname", "n1"),
    ]));
    let tolerations = prop::sample::select(vec![
        json!([]),
        json!([{"operator": "Exists"}]),
        json!([{"key": "k", "value": "v"}]),
    ]);
    (terms, selector, tolerations).prop_map(|(terms, selector, tolerations)| {
        let mut spec = json!({"tolerations": tolerations});
        if let Some((key, value)) = selector {
            spec["nodeSelector"] = json!({key: value});
        }
        if let Some(terms) = terms {
            spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
        }
        spec
    })
}

/// As the stock plugins do it: node by node, label by label.
fn reference(entry: &NodeEntry, pod: &Wanted, spec: &Value, taken: Option<&Resources>) -> bool {
    let mut free = Resources::parse(&entry.allocatable).unwrap();
    free.sub(&Resources::parse(&entry.requested).unwrap());
    if let Some(taken) = taken {
        free.sub(taken);
    }
    let tolerated = spec["tolerations"][0].clone();
    let all = tolerated["operator"] == "Exists";
    let selected = spec["nodeSelector"].as_object().into_iter().flatten();
    let terms =
        &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    pod.requests.lacking(&free).next().is_none()
        && (!entry.unschedulable || all)
        && entry
            .taints
            .iter()
            .all(|taint| taint.effect == "PreferNoSchedule" || all || tolerated["key"] == "k")
        && selected
            .into_iter()
            .all(|(key, value)| entry.labels.get(key).map(String::as_str) == value.as_str())
        && terms
            .as_array()
            .is_none_or(|terms| terms.iter().any(|term| term_matches(entry, term)))
}

fn term_matches(entry: &NodeEntry, term: &Value) -> bool {
    let list = |key: &str| term[key].as_array().cloned().unwrap_or_default();
    let (labels, fields) = (list("matchExpressions"), list("matchFields"));
    !(labels.is_empty() && fields.is_empty())
        && labels
            .iter()
            .all(|r| holds(r, entry.labels.get(r["key"].as_str().unwrap()).map(String::as_str)))
        && fields.iter().all(|r| holds(r, Some(&entry.name)))
}

fn holds(requirement: &Value, value: Option<&str>) -> bool {
    let values: Vec<_> = requirement["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
        .collect();
    let bound = || (values.len() == 1).then(|| values[0].parse::<i64>().ok()).flatten();
    let compare = |f: fn(&i64, &i64) -> bool| {
        let number = value.and_then(|value| value.parse::<i64>().ok());
        number.zip(bound()).is_some_and(|(number, bound)| f(&number, &bound))
    };
    match requirement["operator"].as_str().unwrap() {
        "In" => !values.is_empty() && value.is_some_and(|value| values.contains(&value)),
        "NotIn" => !values.is_empty() && value.is_none_or(|value| !values.contains(&value)),
        "Exists" => values.is_empty() && value.is_some(),
        "DoesNotExist" => values.is_empty() && value.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

/// A term with one requirement that cannot be parsed matches nothing, so the reference must not judge the others alone.
fn parses(spec: &Value) -> bool {
    let terms =
        &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    terms.as_array().is_none_or(|terms| !terms.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn packed_and_naive_fit_agree(
        entries in nodes(),
        spec in constraints(),
        (cpu, memory, gpu) in (0..5i64, 0..9i64, 0..3i64),
        in_flight in prop::collection::vec((0..12usize, 0..3i64), 0..3),
    ) {
        prop_assume!(parses(&spec));
        let requests = [("cpu", format!("{cpu}")), ("memory", format!("{memory}Gi")), ("gpu", format!("{gpu}"))];
        let requests: Vec<_> = requests.iter().map(|(name, amount)| (*name, amount.as_str())).collect();
        let pod = wanted(&requests, spec.clone());
        let mut overlay = Overlay::default();
        for (index, cores) in in_flight {
            let taken = Resources::parse(&list(&[("cpu", &cores.to_string()), ("pods", "1")])).unwrap();
            overlay.insert(format!("n{index}").into(), taken);
        }
        let fitting: Vec<_> =
            entries.iter().filter(|entry| reference(entry, &pod, &spec, overlay.get(entry.name.as_str()))).collect();
        let mut nodes = Nodes::default();
        let (left, right) = entries.split_at(entries.len() / 2);
        nodes.apply("shard-0".into(), shard(left.to_vec()));
        nodes.apply("shard-1".into(), shard(right.to_vec()));
        prop_assert_eq!(nodes.fits(&pod, &overlay).is_ok(), !fitting.is_empty());
        prop_assert_eq!(nodes.copies(&pod, &overlay) > 0, !fitting.is_empty());
        let chosen = nodes.choose(&pod, &overlay);
        prop_assert_eq!(chosen.is_some(), !fitting.is_empty());
        prop_assert!(chosen.is_none_or(|chosen| fitting.iter().any(|entry| entry.name == chosen)));
    }
}
