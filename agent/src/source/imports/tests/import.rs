//! The objects of an import.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use multicluster_api::TargetRef;
use serde_json::{Value, json};

use super::service;
use crate::source::imports::clusters::{ClusterName, Clusters, Way};
use crate::source::imports::endpoints::{Backend, Endpoint, Family, Group, endpoints};
use crate::source::imports::exportable::{Exportable, TargetPort};
use crate::source::imports::import::{
    derived_name, derived_spec, import_spec, import_status, prefix_of, seen_from, slice_body, slice_labels,
    slice_prefix,
};
use crate::source::imports::network::Network;
use crate::source::imports::slices::Slice;

fn web() -> Exportable {
    service(TargetPort::Number(8080))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn group(cluster: &str, family: Family) -> Group {
    Group {
        cluster: ClusterName::of(cluster),
        family,
        ports: vec![],
    }
}

#[test]
fn the_import_has_the_addresses_of_the_derived_service() {
    assert_eq!(
        Value::Object(import_spec(&web(), &[ip("10.96.0.7"), ip("fd00::7")])),
        json!({"type": "ClusterSetIP", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            "ips": ["10.96.0.7", "fd00::7"], "ipFamilies": ["IPv4", "IPv6"]})
    );
    assert_eq!(
        Value::Object(derived_spec(&web())),
        json!({"type": "ClusterIP", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]})
    );
}

#[test]
fn a_headless_service_stays_headless() {
    let headless = Exportable {
        headless: true,
        session_affinity: Some("ClientIP".into()),
        ..web()
    };
    assert_eq!(derived_spec(&headless)["clusterIP"], "None");
    let import = import_spec(&headless, &[]);
    assert_eq!(import["type"], "Headless");
    assert!(!import.contains_key("ips") && !import.contains_key("sessionAffinity"));
}

#[test]
fn affinity_and_dual_stack_go_along() {
    let service = Exportable {
        session_affinity: Some("ClientIP".into()),
        affinity_seconds: Some(60),
        dual_stack: true,
        ..web()
    };
    for spec in [derived_spec(&service), import_spec(&service, &[])] {
        assert_eq!(spec["sessionAffinity"], "ClientIP");
        assert_eq!(spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 60);
    }
    assert_eq!(derived_spec(&service)["ipFamilyPolicy"], "PreferDualStack");
}

#[test]
fn slices_name_no_pod_and_no_node() {
    let slice: Slice = [(
        ip("10.0.0.1"),
        Endpoint {
            ready: true,
            serving: true,
            terminating: false,
            hostname: Some("web-0".into()),
        },
    )]
    .into();
    assert_eq!(
        Value::Object(slice_body(&group("us", Family::V4), &slice)),
        json!({"addressType": "IPv4", "ports": [], "endpoints": [{
            "addresses": ["10.0.0.1"], "hostname": "web-0",
            "conditions": {"ready": true, "serving": true, "terminating": false},
        }]})
    );
    assert_eq!(
        json!(slice_labels("web", "derived-1", &group("us", Family::V4))),
        json!({"multicluster.kubernetes.io/service-name": "web", "multicluster.kubernetes.io/source-cluster": "us",
            "kubernetes.io/service-name": "derived-1", "endpointslice.kubernetes.io/managed-by": "multicluster-agent"})
    );
}

#[test]
fn names_fit_and_differ() {
    let name = derived_name("hub", "shop", "web");
    assert_ne!(name, derived_name("hub2", "shop", "web"));
    assert_ne!(name, derived_name("hub", "shopweb", ""));
    let (v4, v6) = (group("us", Family::V4), group("us", Family::V6));
    assert_ne!(slice_prefix(&name, &v4), slice_prefix(&name, &v6));
    let slice = format!("{}-12", slice_prefix(&name, &v4));
    assert!(slice.len() <= 63);
    assert_eq!(prefix_of(&slice), slice_prefix(&name, &v4));
}

#[test]
fn a_cluster_sees_the_pods_that_it_reaches() {
    let way = |name: &str, network: &str| Way {
        node: TargetRef::cluster(name).virtual_node().as_str().into(),
        namespace: None,
        cluster_id: Some(name.into()),
        own: false,
        network: Network::new(network),
        healthy: true,
    };
    let ways = [way("us", ""), way("eu", "b")];
    let clusters = Clusters::new("hub", Network::default(), &ways);
    let pods = ["admiralty-us", "admiralty-eu"].map(|node| Backend {
        cluster: clusters.of_node(node).unwrap().name.clone(),
        reachable: true,
        addresses: vec![ip("10.0.0.1")],
        ready: true,
        terminating: false,
        hostname: None,
        ports: &[],
    });
    let all = endpoints(&web(), pods);
    let seen = |node: Option<&str>| -> Vec<String> {
        let here = node.map_or(clusters.source(), |node| clusters.of_node(node).unwrap());
        seen_from(here, &clusters, &all)
            .map(|(group, _)| group.cluster.as_str().to_owned())
            .collect()
    };
    assert_eq!(seen(None), ["admiralty-us"]);
    assert_eq!(seen(Some("admiralty-us")), ["admiralty-us"]);
    assert_eq!(seen(Some("admiralty-eu")), ["admiralty-eu"]);
}

#[test]
fn a_status_is_written_when_it_changes() {
    let now = Timestamp::from_second(10).unwrap();
    let (us, eu) = (group("us", Family::V4), group("eu", Family::V4));
    let vip = [ip("10.96.0.7")];
    let status = import_status(&web(), &vip, &BTreeSet::from([&us, &eu]), &Value::Null, now).unwrap();
    assert_eq!(status["clusters"], json!([{"cluster": "eu"}, {"cluster": "us"}]));
    assert_eq!(status["conditions"][0]["status"], "True");
    let later = Timestamp::from_second(20).unwrap();
    // A definition that does not know the field has dropped it.
    let mut held = status.clone();
    held.as_object_mut().unwrap().remove("endpointSliceObjects");
    assert_eq!(
        import_status(&web(), &vip, &BTreeSet::from([&us, &eu]), &held, later),
        None
    );
    let fewer = import_status(&web(), &vip, &BTreeSet::from([&us]), &held, later).unwrap();
    assert_eq!(fewer["clusters"], json!([{"cluster": "us"}]));
    assert_eq!(fewer["conditions"], status["conditions"]);
}

#[test]
fn an_import_that_no_pod_can_serve_says_so() {
    let now = Timestamp::from_second(10).unwrap();
    let v6 = group("us", Family::V6);
    let reason = |service: &Exportable, addresses: &[IpAddr], groups: &BTreeSet<&Group>| {
        let status = import_status(service, addresses, groups, &Value::Null, now).unwrap();
        status["conditions"][0]["reason"].clone()
    };
    let groups = BTreeSet::from([&v6]);
    assert_eq!(reason(&web(), &[ip("10.96.0.7")], &groups), "IPFamilyNotSupported");
    assert_eq!(reason(&web(), &[ip("fd00::7")], &groups), "Ready");
    assert_eq!(reason(&web(), &[ip("10.96.0.7")], &BTreeSet::new()), "Ready");
    assert_eq!(reason(&web(), &[], &BTreeSet::new()), "Pending");
    let headless = Exportable {
        headless: true,
        ..web()
    };
    assert_eq!(reason(&headless, &[], &groups), "Ready");
}
