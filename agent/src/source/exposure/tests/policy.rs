//! How annotations are read.

use proptest::prelude::*;

use super::*;
use crate::source::following::object::ObjectKey;

/// What an administrator chooses by saying nothing.
pub const SETTINGS: Settings = Settings {
    publish: true,
    routing: Routing::Weighted,
    ttl: 3,
};

/// An exposed object without sites.
pub fn exposed(kind: Kind, hosts: &[&str], annotations: &[(&str, &str)]) -> Exposed {
    Exposed {
        key: ObjectKey::new(kind, "default", "web"),
        uid: "uid".into(),
        created: None,
        annotations: annotations
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
        hosts: hosts.iter().map(|host| (*host).into()).collect(),
        ports: vec![(None, 80)],
        gateways: vec![],
        sites: vec![],
    }
}

fn read(annotations: &[(&str, &str)]) -> (Policy, Vec<String>) {
    Policy::of(&exposed(Kind::Ingress, &["www.example.com"], annotations), &SETTINGS)
}

#[test]
fn who_says_nothing_gets_the_defaults() {
    let (policy, wrong) = read(&[]);
    assert_eq!((policy.routing, policy.ttl, wrong), (Routing::Weighted, 3, vec![]));
    assert_eq!(policy.hosts.first().unwrap().as_str(), "www.example.com");
}

#[test]
fn each_policy_has_a_name() {
    for (text, routing) in [
        ("weighted", Routing::Weighted),
        ("latency", Routing::Latency),
        ("latency-weighted", Routing::LatencyWeighted),
        ("failover", Routing::Failover),
        (" simple ", Routing::Simple),
        ("none", Routing::None),
    ] {
        assert_eq!(read(&[(names::DNS_POLICY, text)]).0.routing, routing);
    }
}

#[test]
fn everything_can_be_said() {
    let (policy, wrong) = read(&[
        (names::DNS_TTL, "60"),
        (names::DNS_HOSTS, "api.example.com, *.example.com,"),
        (names::DNS_FAILOVER_ORDER, "eu-west-3, admiralty-us"),
        (names::DNS_WEIGHTS, "us=3, eu = 0"),
        (names::DNS_PROPERTIES, "aws/evaluate-target-health=true, a=b=c"),
    ]);
    assert_eq!(wrong, [""; 0]);
    assert_eq!(policy.ttl, 60);
    let hosts: Vec<_> = policy.hosts.iter().map(DnsName::as_str).collect();
    assert_eq!(hosts, ["*.example.com", "api.example.com", "www.example.com"]);
    assert_eq!(policy.order, ["eu-west-3", "admiralty-us"]);
    assert_eq!(policy.factors, BTreeMap::from([("us".into(), 3), ("eu".into(), 0)]));
    assert_eq!(policy.properties["aws/evaluate-target-health"], "true");
    assert_eq!(policy.properties["a"], "b=c");
}

#[test]
fn a_bad_value_is_told_and_the_others_count() {
    let (policy, wrong) = read(&[
        (names::DNS_POLICY, "fastest"),
        (names::DNS_TTL, "0"),
        (names::DNS_HOSTS, "ok.example.com,not_ok.example.com"),
        (names::DNS_WEIGHTS, "us=3,eu=-1,=2,asia,af=1001"),
        (names::DNS_PROPERTIES, "aws/weight=3,x,y=1"),
    ]);
    assert_eq!((policy.routing, policy.ttl), (Routing::Weighted, 3));
    assert_eq!(policy.hosts.len(), 2);
    assert_eq!(policy.factors, BTreeMap::from([("us".into(), 3)]));
    assert_eq!(policy.properties, BTreeMap::from([("y".into(), "1".into())]));
    assert_eq!(wrong.len(), 9, "{wrong:#?}");
    assert!(
        wrong[0].contains("dns-policy") && wrong[0].contains("latency-weighted"),
        "{}",
        wrong[0]
    );
    assert!(
        wrong
            .iter()
            .any(|message| message.contains("\"not_ok.example.com\": write names"))
    );
}

#[test]
fn a_service_has_the_names_of_its_annotation() {
    let annotations = [(names::DNS_HOSTS, "db.example.com")];
    let service = exposed(Kind::Service, &["db.example.com"], &annotations);
    assert_eq!(Policy::of(&service, &SETTINGS).0.hosts.len(), 1);
    // The facts repeat what the annotation says; a bad name is told once.
    let service = exposed(Kind::Service, &["db_1"], &[(names::DNS_HOSTS, "db_1")]);
    assert_eq!(Policy::of(&service, &SETTINGS).1.len(), 1);
}

#[test]
fn what_external_dns_reads_itself_is_taken_over() {
    let key = |name: &str| format!("{}{name}", names::EXTERNAL_DNS_PREFIX);
    let (proxied, health, weight, ttl) = (
        key("cloudflare-proxied"),
        key("aws-health-check-id"),
        key("aws-weight"),
        key("ttl"),
    );
    let (policy, wrong) = read(&[(&proxied, "true"), (&health, "abc"), (&weight, "1"), (&ttl, "9")]);
    assert_eq!(wrong, [""; 0]);
    let expected = BTreeMap::from([
        (proxied.clone(), "true".into()),
        ("aws/health-check-id".into(), "abc".into()),
    ]);
    assert_eq!(policy.properties, expected);
}

#[test]
fn values_with_commas_have_lines_of_their_own() {
    let (policy, _) = read(&[(names::DNS_PROPERTIES, "tags=a,b\naws/x=1\n")]);
    assert_eq!(
        policy.properties,
        BTreeMap::from([("tags".into(), "a,b".into()), ("aws/x".into(), "1".into())])
    );
}

#[test]
fn too_many_names_are_cut() {
    let many: Vec<_> = (0..200).map(|i| format!("h{i}.example.com")).collect();
    let (policy, wrong) = read(&[(names::DNS_HOSTS, &many.join(","))]);
    assert_eq!((policy.hosts.len(), wrong.len()), (100, 1));
}

proptest! {
    #[test]
    fn whatever_is_written_is_read(values in proptest::collection::vec("[a-z=,.*\\n -]{0,30}|\\PC{0,60}", 6)) {
        let keys = [
            names::DNS_POLICY, names::DNS_TTL, names::DNS_HOSTS, names::DNS_FAILOVER_ORDER, names::DNS_WEIGHTS,
            names::DNS_PROPERTIES,
        ];
        let annotations: Vec<_> = keys.into_iter().zip(values.iter().map(String::as_str)).collect();
        let (policy, wrong) = read(&annotations);
        prop_assert!((1..=86_400).contains(&policy.ttl));
        prop_assert!(policy.hosts.iter().any(|host| host.as_str() == "www.example.com"));
        prop_assert!(wrong.iter().all(|message| message.len() < 1024));
    }
}
