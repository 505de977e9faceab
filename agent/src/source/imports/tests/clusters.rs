//! Which clusters there are.

use multicluster_api::TargetRef;
use proptest::prelude::*;

use crate::source::imports::clusters::{ClusterName, Clusters, Way};
use crate::source::imports::network::Network;

fn way(target: TargetRef, cluster_id: &str) -> Way {
    Way {
        node: target.virtual_node().as_str().into(),
        namespace: target.namespace,
        cluster_id: Some(cluster_id.into()),
        own: false,
        network: Network::default(),
        healthy: true,
    }
}

fn clusters(ways: &[Way]) -> Clusters {
    Clusters::new("hub", Network::default(), ways)
}

fn in_network(network: &str, way: Way) -> Way {
    Way {
        network: Network::new(network),
        ..way
    }
}

#[test]
fn clusters_of_one_network_reach_each_other_and_no_others() {
    let ways = [
        way(TargetRef::cluster("us"), "1"),
        in_network("b", way(TargetRef::cluster("eu"), "2")),
        in_network("b", way(TargetRef::cluster("asia"), "3")),
    ];
    let clusters = clusters(&ways);
    let of = |node: &str| clusters.of_node(node).unwrap();
    let (us, eu, asia, hub) = (
        of("admiralty-us"),
        of("admiralty-eu"),
        of("admiralty-asia"),
        clusters.source(),
    );
    assert!(us.reaches(hub) && hub.reaches(us) && eu.reaches(asia));
    assert!(!us.reaches(eu) && !hub.reaches(asia));
    assert!(us.reaches(us) && eu.reaches(eu));
}

#[test]
fn two_targets_that_lead_to_one_cluster_are_one_cluster_and_one_looks_after_it() {
    let ways = [
        way(TargetRef::cluster("us"), "1"),
        in_network("b", way(TargetRef::namespaced("shop", "us"), "1")),
        way(TargetRef::cluster("eu"), "2"),
    ];
    let clusters = clusters(&ways);
    assert_eq!(clusters.of_node("admiralty-us"), clusters.of_node("admiralty-shop-us"));
    assert_eq!(clusters.all().count(), 3);
    // The first of those that serve the namespace.
    assert!(clusters.is_in_charge("admiralty-shop-us", "shop"));
    assert!(!clusters.is_in_charge("admiralty-us", "shop"));
    assert!(clusters.is_in_charge("admiralty-us", "default"));
    assert!(!clusters.is_in_charge("admiralty-shop-us", "default"));
    assert!(clusters.is_in_charge("admiralty-eu", "shop"));
    // It is in the networks of both.
    let us = clusters.of_node("admiralty-us").unwrap();
    assert!(us.reaches(clusters.of_node("admiralty-eu").unwrap()));
}

#[test]
fn a_target_that_leads_to_the_source_is_the_source_and_looks_after_nothing() {
    let own = |way| Way { own: true, ..way };
    let ways = [
        own(in_network("b", way(TargetRef::cluster("me"), "x"))),
        own(way(TargetRef::namespaced("default", "me"), "x")),
    ];
    let clusters = clusters(&ways);
    assert_eq!(clusters.all().count(), 1);
    for way in &ways {
        assert_eq!(clusters.of_node(&way.node), Some(clusters.source()));
        assert!(!clusters.is_in_charge(&way.node, "default"));
    }
}

#[test]
fn targets_whose_cluster_nobody_knows_are_clusters_of_their_own() {
    let unknown = |name: &str| Way {
        cluster_id: None,
        ..way(TargetRef::cluster(name), "")
    };
    let ways = [unknown("us"), unknown("eu")];
    let clusters = Clusters::new("hub", Network::default(), &ways);
    assert_eq!(clusters.all().count(), 3);
}

#[test]
fn a_cluster_is_well_while_one_way_to_it_is() {
    let dead = Way {
        healthy: false,
        ..way(TargetRef::cluster("us"), "1")
    };
    assert!(
        !clusters(std::slice::from_ref(&dead))
            .of_node("admiralty-us")
            .unwrap()
            .healthy
    );
    let ways = [dead, way(TargetRef::cluster("us2"), "1")];
    assert!(clusters(&ways).of_node("admiralty-us").unwrap().healthy);
}

#[test]
fn the_order_in_which_targets_are_known_makes_no_difference() {
    let mut ways = vec![
        way(TargetRef::cluster("us"), "1"),
        way(TargetRef::namespaced("shop", "us"), "1"),
        way(TargetRef::cluster("eu"), "2"),
    ];
    let before = clusters(&ways);
    ways.reverse();
    assert_eq!(before, clusters(&ways));
}

#[test]
fn names_are_kept_where_they_are_dns_labels() {
    assert_eq!(ClusterName::of("admiralty-us").as_str(), "admiralty-us");
    let dotted = ClusterName::of("us.example.com");
    assert!(dotted.as_str().starts_with("us-example-com-"));
    assert_ne!(dotted, ClusterName::of("us-example.com"));
}

proptest! {
    #[test]
    fn every_name_becomes_a_dns_label_and_no_two_the_same(a in ".{0,80}", b in "[a-z.-]{0,80}") {
        for name in [&a, &b] {
            let label = ClusterName::of(name);
            let label = label.as_str();
            prop_assert!(!label.is_empty() && label.len() <= 63);
            prop_assert!(label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'));
            prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
        }
        prop_assert_eq!(ClusterName::of(&a) == ClusterName::of(&b), a == b);
    }
}
