//! Which clusters are preferred, and by how much.

use std::collections::BTreeMap;

use multicluster_api::TargetRef;

use super::cluster::Cluster;

/// Largest weight of a record in a set (Route 53).
pub const LARGEST_WEIGHT: u32 = 255;

/// Does a person mean this cluster? By its virtual node, by the name of its Target (in the object's namespace) or
/// ClusterTarget, or by its region; the lower the number the more exactly.
fn meant(word: &str, cluster: &Cluster, namespace: &str) -> Option<u8> {
    let is_node = |node: &str| cluster.nodes.iter().any(|own| own == node);
    let targets = [TargetRef::namespaced(namespace, word), TargetRef::cluster(word)];
    if is_node(word) {
        Some(0)
    } else if targets.iter().any(|target| is_node(target.virtual_node().as_str())) {
        Some(1)
    } else if cluster.region.as_deref() == Some(word) {
        Some(2)
    } else {
        None
    }
}

/// The clusters, the preferred ones first: in the order of the words, then those that no word means, by name.
pub fn ordered<'a>(clusters: &'a [Cluster], words: &[String], namespace: &str) -> Vec<&'a Cluster> {
    let place = |cluster: &Cluster| {
        let means = |word: &String| meant(word, cluster, namespace).is_some();
        words.iter().position(means).unwrap_or(words.len())
    };
    let mut ordered: Vec<_> = clusters.iter().collect();
    ordered.sort_by_key(|cluster| (place(cluster), cluster.node()));
    ordered
}

/// The clusters with their weights, from 1 to [`LARGEST_WEIGHT`]: by ready pods, times the factor that is given for each.
///
/// A cluster with the factor 0 gets nothing while there is another one; when there is none, it is better than no answer.
pub fn weighted<'a>(
    clusters: impl IntoIterator<Item = &'a Cluster>,
    factors: &BTreeMap<String, u32>,
    namespace: &str,
) -> Vec<(&'a Cluster, u32)> {
    let factor = |cluster: &Cluster| {
        let meaning = |(word, factor): (&String, &u32)| Some((meant(word, cluster, namespace)?, *factor));
        factors.iter().filter_map(meaning).min().map_or(1, |(_, factor)| factor)
    };
    let mut all: Vec<_> = clusters
        .into_iter()
        .map(|cluster| (cluster, u64::from(cluster.ready) * u64::from(factor(cluster))))
        .collect();
    if all.iter().any(|(_, weight)| *weight > 0) {
        all.retain(|(_, weight)| *weight > 0);
    } else {
        for (cluster, weight) in &mut all {
            *weight = cluster.ready.into();
        }
    }
    let largest = all.iter().map(|(_, weight)| *weight).max().unwrap_or_default();
    all.into_iter()
        .map(|(cluster, weight)| (cluster, scaled(weight, largest)))
        .collect()
}

fn scaled(weight: u64, largest: u64) -> u32 {
    let most = u64::from(LARGEST_WEIGHT);
    let scaled = if largest <= most {
        weight
    } else {
        weight.saturating_mul(most) / largest
    };
    u32::try_from(scaled.clamp(1, most)).unwrap_or(LARGEST_WEIGHT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::exposure::cluster::tests::site;
    use crate::source::exposure::site::Site;

    fn clusters(ready: &[(&str, &str, u32)]) -> Vec<Cluster> {
        let sites: Vec<_> = ready
            .iter()
            .map(|(node, region, ready)| Site {
                region: Some((*region).into()),
                ..site(node, &["192.0.2.1"], *ready)
            })
            .collect();
        Cluster::serving(&sites)
    }

    fn weights(clusters: &[Cluster], factors: &[(&str, u32)]) -> Vec<(String, u32)> {
        let factors = factors.iter().map(|(word, factor)| ((*word).into(), *factor)).collect();
        let weights = weighted(clusters, &factors, "default");
        weights
            .into_iter()
            .map(|(cluster, weight)| (cluster.node().into(), weight))
            .collect()
    }

    fn expect(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
        pairs.iter().map(|(node, weight)| ((*node).into(), *weight)).collect()
    }

    #[test]
    fn weights_are_ready_pods() {
        assert_eq!(
            weights(&clusters(&[("a", "x", 4), ("b", "x", 1)]), &[]),
            expect(&[("a", 4), ("b", 1)])
        );
        // Route 53 takes 255 at most; who has a ready pod never gets nothing.
        let many = clusters(&[("a", "x", 5100), ("b", "x", 1000), ("c", "x", 1)]);
        assert_eq!(weights(&many, &[]), expect(&[("a", 255), ("b", 50), ("c", 1)]));
    }

    #[test]
    fn factors_are_for_nodes_targets_and_regions_the_most_exact_one_counts() {
        let all = clusters(&[
            ("admiralty-default-us", "west", 2),
            ("admiralty-eu", "east", 2),
            ("admiralty-x", "east", 2),
        ]);
        let factors = [("east", 5), ("us", 3), ("eu", 7), ("admiralty-x", 1)];
        let expected = expect(&[("admiralty-default-us", 6), ("admiralty-eu", 14), ("admiralty-x", 2)]);
        assert_eq!(weights(&all, &factors), expected);
    }

    #[test]
    fn factor_zero_is_for_the_last_resort() {
        let both = clusters(&[("a", "x", 4), ("b", "y", 1)]);
        assert_eq!(weights(&both, &[("x", 0)]), expect(&[("b", 1)]));
        assert_eq!(weights(&both[..1], &[("x", 0)]), expect(&[("a", 4)]));
    }

    #[test]
    fn preferred_clusters_come_first() {
        let all = clusters(&[("a", "us", 1), ("b", "eu", 1), ("c", "us", 1), ("admiralty-d", "ap", 1)]);
        let words = ["d", "c", "us", "nowhere"].map(String::from);
        let nodes: Vec<_> = ordered(&all, &words, "default")
            .iter()
            .map(|cluster| cluster.node())
            .collect();
        assert_eq!(nodes, ["admiralty-d", "c", "a", "b"]);
    }

    proptest! {
        #[test]
        fn weights_are_in_range_and_keep_their_order(ready in proptest::collection::vec(any::<u32>(), 1..9), factor in 0u32..1001) {
            let names: Vec<_> = (0..ready.len()).map(|i| format!("n{i}")).collect();
            let all = clusters(&names.iter().zip(&ready).map(|(n, r)| (n.as_str(), "x", *r)).collect::<Vec<_>>());
            let weights = weighted(&all, &BTreeMap::from([("n0".into(), factor)]), "default");
            prop_assert_eq!(weights.is_empty(), all.is_empty());
            for (cluster, weight) in &weights {
                prop_assert!((1..=LARGEST_WEIGHT).contains(weight));
                let more = |(other, heavier): &(&Cluster, u32)| {
                    other.node() != "n0" && cluster.node() != "n0" && other.ready > cluster.ready && heavier < weight
                };
                prop_assert!(!weights.iter().any(more));
            }
        }
    }
}
