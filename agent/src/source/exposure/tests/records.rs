//! Which records come of which clusters.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::source::exposure::cluster::tests::site;
use crate::source::exposure::properties::{AWS_REGION, AWS_WEIGHT};
use crate::source::exposure::site::Site;

const EVERY: [Routing; 6] = [
    Routing::Weighted,
    Routing::Latency,
    Routing::LatencyWeighted,
    Routing::Failover,
    Routing::Simple,
    Routing::None,
];

fn policy(routing: Routing) -> Policy {
    Policy {
        routing,
        ttl: 3,
        hosts: BTreeSet::from([DnsName::parse("a.com").unwrap()]),
        order: vec![],
        factors: BTreeMap::new(),
        properties: BTreeMap::new(),
    }
}

fn in_region(region: &str, site: Site) -> Site {
    Site {
        region: Some(region.into()),
        ..site
    }
}

/// us and us2 in us-west-2, eu in eu-west-3.
fn three(us: &str, us2: &str, eu: &str) -> Vec<Site> {
    vec![
        in_region("us-west-2", site("us", &[us], 3)),
        in_region("us-west-2", site("us2", &[us2], 1)),
        in_region("eu-west-3", site("eu", &[eu], 2)),
    ]
}

/// Each record in a line: name, type, targets, identifier, properties.
fn lines(policy: &Policy, sites: &[Site]) -> Vec<String> {
    let (endpoints, _) = records(policy, &policy.hosts, &Cluster::serving(sites), "default");
    let properties = |endpoint: &Endpoint| {
        let pairs = endpoint.provider_specific.iter();
        pairs
            .map(|property| format!(" {}={}", property.name, property.value))
            .collect::<String>()
    };
    let line = |e: &Endpoint| {
        let id = if e.set_identifier.is_empty() {
            "-"
        } else {
            &e.set_identifier
        };
        format!(
            "{} {} {} {id}{}",
            e.dns_name,
            e.record_type,
            e.targets.join(","),
            properties(e)
        )
    };
    endpoints.iter().map(line).collect()
}

fn notes(policy: &Policy, sites: &[Site]) -> Vec<String> {
    records(policy, &policy.hosts, &Cluster::serving(sites), "default").1
}

#[test]
fn weighted_by_ready_pods_one_record_a_cluster_and_type() {
    let mut sites = three("192.0.2.1", "192.0.2.2", "192.0.2.3");
    sites[2].addresses.extend(site("", &["2001:db8::3"], 0).addresses);
    assert_eq!(
        lines(&policy(Routing::Weighted), &sites),
        [
            "a.com A 192.0.2.3 eu aws/weight=2",
            "a.com AAAA 2001:db8::3 eu aws/weight=2",
            "a.com A 192.0.2.1 us aws/weight=3",
            "a.com A 192.0.2.2 us2 aws/weight=1",
        ]
    );
}

#[test]
fn load_balancers_with_names_get_aliases_that_live_shortly() {
    assert_eq!(
        lines(&policy(Routing::Weighted), &three("a.elb", "b.elb", "c.elb")),
        [
            "a.com CNAME c.elb eu aws/weight=2 alias=false",
            "a.com CNAME a.elb us aws/weight=3 alias=false",
            "a.com CNAME b.elb us2 aws/weight=1 alias=false",
        ]
    );
}

#[test]
fn addresses_win_over_names_unless_the_provider_has_aliases() {
    let (mut weighted, sites) = (policy(Routing::Weighted), three("192.0.2.1", "b.elb", "192.0.2.3"));
    assert_eq!(lines(&weighted, &sites).len(), 2);
    assert!(notes(&weighted, &sites)[0].starts_with("us2 gets no record"));
    weighted.properties.insert(ALIAS.into(), "true".into());
    assert_eq!(
        lines(&weighted, &sites),
        [
            "a.com A 192.0.2.3 eu aws/weight=2",
            "a.com A 192.0.2.1 us aws/weight=3",
            "a.com CNAME b.elb us2 alias=true aws/weight=1",
        ]
    );
}

#[test]
fn latency_has_one_record_a_region() {
    assert_eq!(
        lines(&policy(Routing::Latency), &three("192.0.2.1", "192.0.2.2", "192.0.2.3")),
        [
            "a.com A 192.0.2.3 eu-west-3 aws/region=eu-west-3",
            "a.com A 192.0.2.1,192.0.2.2 us-west-2 aws/region=us-west-2",
        ]
    );
    let names = three("a.elb", "b.elb", "c.elb");
    assert_eq!(lines(&policy(Routing::Latency), &names).len(), 2);
    assert!(notes(&policy(Routing::Latency), &names)[0].contains("latency-weighted"));
}

#[test]
fn latency_weighted_has_a_name_for_each_region() {
    assert_eq!(
        lines(
            &policy(Routing::LatencyWeighted),
            &three("192.0.2.1", "192.0.2.2", "c.elb")
        ),
        [
            "a.com CNAME multicluster-eu-west-3.a.com eu-west-3 aws/region=eu-west-3 alias=false",
            "multicluster-eu-west-3.a.com CNAME c.elb eu aws/weight=2 alias=false",
            "a.com CNAME multicluster-us-west-2.a.com us-west-2 aws/region=us-west-2 alias=false",
            "multicluster-us-west-2.a.com A 192.0.2.1 us aws/weight=3",
            "multicluster-us-west-2.a.com A 192.0.2.2 us2 aws/weight=1",
        ]
    );
    assert_eq!(
        lines(&policy(Routing::LatencyWeighted), &three("a.elb", "b.elb", "c.elb")).len(),
        5
    );
}

#[test]
fn in_one_region_addresses_win_over_names() {
    let (policy, sites) = (policy(Routing::LatencyWeighted), three("192.0.2.1", "b.elb", "c.elb"));
    assert_eq!(lines(&policy, &sites).len(), 4);
    assert!(notes(&policy, &sites)[0].starts_with("us2 gets no record"));
}

#[test]
fn without_regions_names_are_still_answered() {
    let mut sites = three("192.0.2.1", "192.0.2.2", "192.0.2.3");
    sites[0].region = None;
    let latency = policy(Routing::Latency);
    assert_eq!(lines(&latency, &sites).len(), 2);
    assert!(notes(&latency, &sites)[0].contains("topology.kubernetes.io/region"));
    sites.iter_mut().for_each(|site| site.region = None);
    for routing in [Routing::Latency, Routing::LatencyWeighted] {
        assert_eq!(
            lines(&policy(routing), &sites),
            lines(&policy(Routing::Weighted), &sites)
        );
    }
}

#[test]
fn failover_publishes_the_first_that_serves_alone() {
    let (mut failover, mut sites) = (policy(Routing::Failover), three("a.elb", "192.0.2.2", "192.0.2.3"));
    failover.order = vec!["us-west-2".into(), "eu".into()];
    assert_eq!(lines(&failover, &sites), ["a.com CNAME a.elb -"]);
    sites[0].ready = 0;
    assert_eq!(lines(&failover, &sites), ["a.com A 192.0.2.2 -"]);
    sites[1].healthy = false;
    assert_eq!(lines(&failover, &sites), ["a.com A 192.0.2.3 -"]);
}

#[test]
fn simple_has_all_addresses_in_one_record_and_no_properties_of_ours() {
    let simple = policy(Routing::Simple);
    assert_eq!(
        lines(&simple, &three("192.0.2.1", "192.0.2.2", "192.0.2.1")),
        ["a.com A 192.0.2.1,192.0.2.2 -"]
    );
    assert_eq!(lines(&simple, &three("a.elb", "192.0.2.2", "2001:db8::1")).len(), 2);
    let names = three("a.elb", "b.elb", "c.elb");
    assert_eq!(lines(&simple, &names), ["a.com CNAME c.elb -"]);
    assert!(notes(&simple, &names)[0].starts_with("only eu gets a record"));
}

#[test]
fn nobody_serves_nothing_is_published() {
    let mut sites = three("192.0.2.1", "192.0.2.2", "192.0.2.3");
    sites.iter_mut().for_each(|site| site.ready = 0);
    for routing in EVERY {
        assert_eq!(lines(&policy(routing), &sites), [""; 0]);
    }
}

#[test]
fn properties_go_along_but_aliases_are_for_aliases() {
    let mut simple = policy(Routing::Simple);
    simple.properties = BTreeMap::from([(ALIAS.into(), "true".into()), ("x".into(), "1".into())]);
    assert_eq!(
        lines(&simple, &[site("a", &["192.0.2.1"], 1)]),
        ["a.com A 192.0.2.1 - x=1"]
    );
    assert_eq!(
        lines(&simple, &[site("a", &["a.elb"], 1)]),
        ["a.com CNAME a.elb - alias=true x=1"]
    );
}

#[test]
fn a_record_is_what_external_dns_reads() {
    let weighted = policy(Routing::Weighted);
    let (endpoints, _) = records(
        &weighted,
        &weighted.hosts,
        &Cluster::serving(&[site("us", &["192.0.2.1"], 2)]),
        "default",
    );
    assert_eq!(
        serde_json::to_value(&endpoints).unwrap(),
        serde_json::json!([{
            "dnsName": "a.com", "recordType": "A", "targets": ["192.0.2.1"], "recordTTL": 3, "setIdentifier": "us",
            "providerSpecific": [{ "name": "aws/weight", "value": "2" }],
        }])
    );
}

fn sites() -> impl Strategy<Value = Vec<Site>> {
    let address = prop_oneof![
        Just("192.0.2.1"),
        Just("192.0.2.2"),
        Just("2001:db8::1"),
        Just("a.elb"),
        Just("b.elb"),
        Just("127.0.0.1")
    ];
    let region = prop_oneof![Just(None), Just(Some("us")), Just(Some("eu")), Just(Some("_X"))];
    let one = (
        proptest::collection::vec(address, 0..3),
        0u32..400,
        any::<bool>(),
        region,
        0u8..5,
    );
    proptest::collection::vec(one, 0..6).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(i, (addresses, ready, healthy, region, cluster))| Site {
                healthy,
                cluster: cluster.to_string(),
                region: region.map(Into::into),
                ..site(&format!("n{i}"), &addresses, ready)
            })
            .collect()
    })
}

proptest! {
    /// What Route 53 refuses, or what would mislead, never comes of any facts.
    #[test]
    fn records_are_sound(sites in sites(), routing in proptest::sample::select(EVERY.to_vec()), factor in 0u32..3) {
        let mut policy = policy(routing);
        policy.factors.insert("n0".into(), factor);
        let serving = Cluster::serving(&sites);
        let (endpoints, _) = records(&policy, &policy.hosts, &serving, "default");
        prop_assert_eq!(endpoints.is_empty(), serving.is_empty() || routing == Routing::None);
        let mut seen = BTreeSet::new();
        for e in &endpoints {
            prop_assert!(seen.insert((&e.dns_name, e.record_type, &e.set_identifier)), "twice: {e:?}");
            prop_assert!(!e.targets.is_empty() && (e.record_type != "CNAME" || e.targets.len() == 1));
            let property = |name| e.provider_specific.iter().find(|p| p.name == name).map(|p| p.value.as_str());
            if let Some(weight) = property(AWS_WEIGHT) {
                prop_assert!((1..=255).contains(&weight.parse::<u32>().unwrap()));
            }
            // A set has an identifier and one way to choose; what is no set has neither.
            let ways = usize::from(property(AWS_WEIGHT).is_some()) + usize::from(property(AWS_REGION).is_some());
            prop_assert_eq!(ways, usize::from(!e.set_identifier.is_empty()));
            for other in endpoints.iter().filter(|other| other.dns_name == e.dns_name) {
                prop_assert_eq!(other.record_type == "CNAME", e.record_type == "CNAME", "CNAME beside others");
                let regional = |e: &Endpoint| e.provider_specific.iter().any(|p| p.name == AWS_REGION);
                prop_assert_eq!(regional(other), regional(e), "two policies for one name");
            }
            // Nothing leads to a cluster that does not serve.
            for target in &e.targets {
                let known = serving.iter().any(|cluster| {
                    cluster.ipv4.iter().any(|ip| ip.to_string() == *target)
                        || cluster.ipv6.iter().any(|ip| ip.to_string() == *target)
                        || cluster.names.iter().any(|name| name.as_str() == target)
                });
                prop_assert!(known || endpoints.iter().any(|other| other.dns_name == *target), "{target}");
            }
        }
    }
}
