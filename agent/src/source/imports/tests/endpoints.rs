//! Pods as endpoints.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;

use super::service;
use crate::source::imports::clusters::ClusterName;
use crate::source::imports::endpoints::{Backend, Endpoint, Endpoints, Family, add_own, endpoints};
use crate::source::imports::exportable::{Exportable, TargetPort, Unexportable};
use crate::source::ports::NamedPort;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A ready pod in the cluster "us".
fn backend(addresses: &[&str]) -> Backend<'static> {
    Backend {
        cluster: ClusterName::of("us"),
        reachable: true,
        addresses: addresses.iter().copied().map(ip).collect(),
        ready: true,
        terminating: false,
        hostname: None,
        ports: &[],
    }
}

fn by_number() -> Exportable {
    service(TargetPort::Number(8080))
}

fn only(all: &Endpoints) -> &Endpoint {
    assert_eq!(all.len(), 1, "{all:?}");
    let addresses = all.values().next().unwrap();
    assert_eq!(addresses.len(), 1, "{all:?}");
    addresses.values().next().unwrap()
}

#[test]
fn a_pod_has_an_endpoint_for_each_family() {
    let all = endpoints(&by_number(), [backend(&["10.0.0.1", "fd00::1"])]);
    let families: Vec<_> = all.keys().map(|group| group.family).collect();
    assert_eq!(families, [Family::V4, Family::V6]);
    assert!(all.keys().all(|group| group.ports[0].port == 8080));
}

#[test]
fn conditions_say_what_the_pod_does() {
    let table = [
        // ready, terminating, reachable ▶ ready, serving, terminating
        ((true, false, true), (true, true, false)),
        ((false, false, true), (false, false, false)),
        ((true, true, true), (false, true, true)),
        ((false, true, true), (false, false, true)),
        ((true, false, false), (false, false, false)),
    ];
    for ((ready, terminating, reachable), expected) in table {
        let pod = Backend {
            ready,
            terminating,
            reachable,
            ..backend(&["10.0.0.1"])
        };
        let all = endpoints(&by_number(), [pod.clone()]);
        let endpoint = only(&all);
        assert_eq!(
            (endpoint.ready, endpoint.serving, endpoint.terminating),
            expected,
            "{pod:?}"
        );
        let regardless = Exportable {
            publish_not_ready: true,
            ..by_number()
        };
        assert!(only(&endpoints(&regardless, [pod])).ready);
    }
}

#[test]
fn a_named_port_is_what_each_pod_calls_so() {
    let named = |number| {
        [NamedPort {
            name: "web".into(),
            protocol: "TCP".into(),
            number,
        }]
    };
    let (old, new) = (named(80), named(8080));
    let pods = [
        Backend {
            ports: &old,
            ..backend(&["10.0.0.1"])
        },
        Backend {
            ports: &new,
            ..backend(&["10.0.0.2"])
        },
        // Nothing answers there.
        backend(&["10.0.0.3"]),
    ];
    let all = endpoints(&service(TargetPort::Name("web".into())), pods);
    let ports: Vec<_> = all.keys().map(|group| group.ports[0].port).collect();
    assert_eq!(ports, [80, 8080]);
    assert!(all.values().all(|addresses| addresses.len() == 1));
}

#[test]
fn a_headless_service_without_ports_has_endpoints_without_ports() {
    let service = Exportable {
        headless: true,
        ..Exportable::default()
    };
    let all = endpoints(&service, [backend(&["10.0.0.1"])]);
    assert!(only(&all).ready);
}

#[test]
fn addresses_that_no_slice_may_have_are_left_out() {
    for bad in [
        "127.0.0.1",
        "0.0.0.0",
        "169.254.1.1",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "ff02::1",
        "255.255.255.255",
    ] {
        assert!(endpoints(&by_number(), [backend(&[bad])]).is_empty(), "{bad}");
    }
    let mapped = endpoints(&by_number(), [backend(&["::ffff:10.0.0.1"])]);
    assert_eq!(mapped.keys().next().unwrap().family, Family::V4);
}

#[test]
fn pods_that_share_an_address_are_one_endpoint_which_is_ready_if_one_is() {
    let unready = || Backend {
        ready: false,
        ..backend(&["10.0.0.1"])
    };
    for pods in [[unready(), backend(&["10.0.0.1"])], [backend(&["10.0.0.1"]), unready()]] {
        assert!(only(&endpoints(&by_number(), pods)).ready);
    }
}

#[test]
fn the_sources_own_pods_count_but_proxy_pods_are_known_better() {
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "web-abc"}, "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
            {"addresses": ["10.9.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["nonsense"]},
        ],
    }))
    .unwrap();
    let unready = Backend {
        ready: false,
        ..backend(&["10.0.0.1"])
    };
    let mut all = endpoints(&by_number(), [unready]);
    add_own(&mut all, &ClusterName::of("hub"), [&slice], |address| {
        *address == ip("10.0.0.1")
    });
    let found: Vec<_> = all
        .iter()
        .flat_map(|(group, addresses)| {
            addresses
                .iter()
                .map(move |(address, endpoint)| (group, address, endpoint))
        })
        .map(|(group, address, endpoint)| (group.cluster.as_str(), *address, endpoint.ready, endpoint.serving))
        .collect();
    assert_eq!(
        found,
        [
            ("hub", ip("10.9.0.1"), false, true),
            ("us", ip("10.0.0.1"), false, false)
        ]
    );
}

#[test]
fn what_of_a_service_counts() {
    let read = |spec: serde_json::Value| {
        let service: Service = serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap();
        Exportable::of(&service)
    };
    let service = read(json!({
        "clusterIP": "None", "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
        "ipFamilyPolicy": "PreferDualStack", "publishNotReadyAddresses": true,
        "ports": [{"port": 80}, {"name": "b", "port": 81, "targetPort": "x", "protocol": "UDP"},
            {"name": "c", "port": 82, "targetPort": "8082"}],
    }))
    .unwrap();
    assert!(service.headless && service.dual_stack && service.publish_not_ready);
    assert_eq!(
        (service.session_affinity.as_deref(), service.affinity_seconds),
        (Some("ClientIP"), Some(60))
    );
    let targets: Vec<_> = service.ports.iter().map(|port| port.target.clone()).collect();
    assert_eq!(
        targets,
        [
            TargetPort::Number(80),
            TargetPort::Name("x".into()),
            TargetPort::Number(8082)
        ]
    );
    let plain =
        read(json!({"clusterIP": "10.96.0.1", "sessionAffinity": "None", "ipFamilyPolicy": "SingleStack"})).unwrap();
    assert!(!plain.headless && !plain.dual_stack && plain.session_affinity.is_none());
    assert_eq!(
        read(json!({"type": "ExternalName", "externalName": "example.com"})),
        Err(Unexportable::ExternalName)
    );
}
