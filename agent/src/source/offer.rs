//! What a target's summary offers, as far as a virtual node may show it. Pure.
//!
//! A target is half trusted: it says what its own node looks like, and not who else that node is. And the source's API
//! server refuses a node as a whole for one label or amount that it does not accept. So what may not be is left out here,
//! and the rest is shown.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use multicluster_api::quantity::{ResourceList, milli, value};
use multicluster_api::syntax::{is_in_domain, is_label_value, is_qualified_name};
use multicluster_api::{ClusterSummaryFields, names};
use regex::Regex;

/// Most labels that are shown; nodes have a few dozen.
pub const MOST_LABELS: usize = 256;
/// Most resources that are shown.
pub const MOST_RESOURCES: usize = 128;
/// How many of the things that were left out are named.
const MOST_NAMED: usize = 5;
/// Longest part of a name that is told.
const MOST_CHARS: usize = 80;

/// Domains whose labels a target does not choose. Whatever trusts a label of one of these trusts whoever wrote it: ours
/// say which target a node stands for, `node-restriction` is what kubelets may not write, `node-role` makes a control
/// plane, `virtual-kubelet.io` a virtual node.
const RESERVED_DOMAINS: [&str; 4] = [
    names::GROUP,
    "node-restriction.kubernetes.io",
    "node-role.kubernetes.io",
    "virtual-kubelet.io",
];

/// What a target offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// Labels that have one value on all its nodes.
    pub labels: BTreeMap<String, String>,
    /// Sums over its nodes.
    pub capacity: ResourceList,
    /// Sums over its nodes.
    pub allocatable: ResourceList,
    /// What the API server would refuse, or too many of a kind: a sentence for the target's owner.
    pub left_out: Option<String>,
}

impl Offer {
    /// From a summary. Labels that match `excluded` (as `key=value`), and those that targets do not choose, are left out
    /// without a word.
    pub fn of(summary: &ClusterSummaryFields, excluded: Option<&Regex>) -> Self {
        let mut bad = Vec::new();
        let is_excluded =
            |key: &str, value: &str| excluded.is_some_and(|regexp| regexp.is_match(&format!("{key}={value}")));
        let mut labels = BTreeMap::new();
        for (key, value) in summary.labels.iter().filter(|(key, _)| !is_reserved(key)) {
            if !is_qualified_name(key) || !is_label_value(value) || labels.len() == MOST_LABELS {
                bad.push(format!("label {}", short(key)));
            } else if !is_excluded(key, value) {
                labels.insert(key.clone(), value.clone());
            }
        }
        Self {
            labels,
            capacity: amounts(&summary.capacity, "capacity", &mut bad),
            allocatable: amounts(&summary.allocatable, "allocatable", &mut bad),
            left_out: sentence(&bad),
        }
    }
}

fn is_reserved(key: &str) -> bool {
    // The name of one node; virtual nodes stand for many.
    key == names::HOSTNAME || RESERVED_DOMAINS.iter().any(|domain| is_in_domain(key, domain))
}

fn amounts(list: &ResourceList, field: &str, bad: &mut Vec<String>) -> ResourceList {
    let mut good = ResourceList::new();
    for (name, quantity) in list {
        if is_amount(name, quantity) && good.len() < MOST_RESOURCES {
            good.insert(name.clone(), quantity.clone());
        } else {
            bad.push(format!("{field} of {}", short(name)));
        }
    }
    good
}

/// Would the API server and the scheduler take this amount? (`ValidateResourceQuantityValue`, and what fits 64 bits.)
fn is_amount(name: &str, quantity: &Quantity) -> bool {
    let (Ok(units), Ok(thousandths)) = (value(&quantity.0), milli(&quantity.0)) else {
        return false;
    };
    // What does not fit was cut to the largest number.
    let in_range = |amount: i64| (0..i64::MAX).contains(&amount);
    let whole = name == "pods" || (name.contains('/') && !name.contains("kubernetes.io/"));
    is_qualified_name(name)
        && in_range(units)
        && (name != "cpu" || in_range(thousandths))
        && (!whole || (in_range(thousandths) && thousandths % 1000 == 0))
}

fn sentence(bad: &[String]) -> Option<String> {
    if bad.is_empty() {
        return None;
    }
    let named = bad.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>();
    let more = match bad.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "parts of the target's summary cannot be shown on its virtual node and were left out: {}{more}",
        named.join(", ")
    ))
}

/// Quoted, and short.
fn short(text: &str) -> String {
    format!("{:?}", text.chars().take(MOST_CHARS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labelled(labels: &[(&str, &str)]) -> Offer {
        let summary = ClusterSummaryFields {
            labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..Default::default()
        };
        Offer::of(&summary, None)
    }

    fn with_amounts(amounts: &[(&str, &str)]) -> Offer {
        let summary = ClusterSummaryFields {
            allocatable: amounts
                .iter()
                .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
                .collect(),
            ..Default::default()
        };
        Offer::of(&summary, None)
    }

    #[test]
    fn labels_that_others_trust_are_not_the_targets_to_choose() {
        let offer = labelled(&[
            ("kubernetes.io/hostname", "n"),
            ("node-restriction.kubernetes.io/tier", "pci"),
            ("node-role.kubernetes.io/control-plane", ""),
            ("virtual-kubelet.io/provider", "other"),
            ("multicluster.admiralty.io/target-name", "another"),
            ("multicluster.admiralty.io/cluster-target-name", "another"),
            ("topology.kubernetes.io/region", "eu"),
            ("feature.node.kubernetes.io/cpu-cpuid.AVX", "true"),
        ]);
        let kept: Vec<_> = offer.labels.keys().map(String::as_str).collect();
        assert_eq!(
            kept,
            [
                "feature.node.kubernetes.io/cpu-cpuid.AVX",
                "topology.kubernetes.io/region"
            ]
        );
        assert_eq!(offer.left_out, None);
    }

    #[test]
    fn one_bad_label_costs_that_label_and_is_told() {
        let huge = "v".repeat(1 << 20);
        let offer = labelled(&[
            ("ok", "1"),
            ("no good", "1"),
            ("long", &huge),
            ("nul", "\0"),
            ("a,b", ""),
        ]);
        assert_eq!(offer.labels.len(), 1);
        let told = offer.left_out.unwrap();
        assert!(told.contains("\"no good\"") && told.len() < 600, "{told}");
    }

    #[test]
    fn many_labels_are_cut_and_told_in_a_few_words() {
        let keys: Vec<_> = (0..10_000).map(|n| format!("key-{n}")).collect();
        let labels: Vec<_> = keys.iter().map(|key| (key.as_str(), "v")).collect();
        let offer = labelled(&labels);
        assert_eq!(offer.labels.len(), MOST_LABELS);
        assert!(offer.left_out.unwrap().ends_with("and 9739 more"));
    }

    #[test]
    fn one_bad_amount_costs_that_amount() {
        for (name, amount) in [
            ("memory", "-1"),
            ("memory", "1e999999"),
            ("memory", "9223372036854775807Ei"),
            ("memory", ""),
            ("memory", "1 Gi"),
            ("cpu", "9223372036854775807"),
            ("pods", "1500m"),
            ("example.com/gpu", "0.5"),
            ("no good", "1"),
        ] {
            let offer = with_amounts(&[("ephemeral-storage", "1Gi"), (name, amount)]);
            assert_eq!(offer.allocatable.len(), 1, "{name}: {amount}");
            assert!(offer.left_out.is_some());
        }
        let offer = with_amounts(&[
            ("cpu", "1500m"),
            ("memory", "64Gi"),
            ("pods", "110"),
            ("example.com/gpu", "8"),
            ("hugepages-2Mi", "0"),
        ]);
        assert_eq!((offer.allocatable.len(), offer.left_out), (5, None));
    }

    proptest! {
        #[test]
        fn whatever_a_target_says_its_node_is_one_that_the_api_server_takes(
            labels in prop::collection::btree_map("\\PC{0,70}|[a-z]{1,4}(\\.io)?/[a-z]{0,3}", "\\PC{0,70}|[a-z]{0,70}", 0..20),
            list in prop::collection::btree_map("\\PC{0,70}|cpu|pods|[a-z]\\.io/[a-z]", "\\PC{0,9}|-?[0-9.]{1,20}(m|Ei|e[0-9]{1,6})?", 0..20),
        ) {
            let list: ResourceList = list.into_iter().map(|(name, amount)| (name, Quantity(amount))).collect();
            let summary = ClusterSummaryFields { labels, capacity: list.clone(), allocatable: list, ..Default::default() };
            let offer = Offer::of(&summary, None);
            for (key, value) in &offer.labels {
                prop_assert!(is_qualified_name(key) && is_label_value(value) && !is_reserved(key));
            }
            for amount in offer.capacity.values() {
                prop_assert!(value(&amount.0).is_ok_and(|amount| (0..i64::MAX).contains(&amount)));
            }
            prop_assert!(offer.left_out.is_none_or(|told| told.len() < 4096));
        }
    }
}
