//! What follows pods is shown in the source: from ready pods and load balancers in the targets to DNS.

use super::*;
use crate::source::exposure::controller::Exposure;
use crate::source::exposure::policy::{Routing, Settings};
use crate::source::exposure::wired::Wired;

/// Both targets run a ready pod behind a Service.
async fn start() -> World {
    let world = World::start(&["eu", "us"]).await;
    let settings = Settings {
        publish: true,
        routing: Routing::Weighted,
        ttl: 3,
    };
    let (home, facts) = (&world.home, Arc::new(Wired(world.home.clone())));
    let (events, metrics) = (home.events.clone(), home.metrics.clone());
    let exposure = Exposure::new(home.client.clone(), facts, settings, events, metrics);
    tokio::spawn(exposure.run(CancellationToken::new()));
    world.service("web", json!({ "app": "web" }));
    for target in world.targets.values() {
        tokio::spawn(beat(target.clone()));
    }
    for target in ["eu", "us"] {
        world.pod(target, &[], &[]);
        world.send(target, target);
        ready(&world, target, true);
    }
    world
}

/// The agent of a target lives.
async fn beat(target: Fake) {
    for second in 0.. {
        target.edit("clustersummaries", "", names::CLUSTER_SUMMARY, |summary| {
            summary["heartbeatTime"] = json!(jiff::Timestamp::from_second(second).unwrap().to_string());
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The pod that is named after its target is ready there.
fn ready(world: &World, target: &str, ready: bool) {
    world.source.edit("pods", "shop", target, |pod| {
        pod["spec"]["nodeName"] = json!(node(target));
        let status = if ready { "True" } else { "False" };
        pod["status"] = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": status }] });
    });
}

/// Targets of all records of an object.
fn records(world: &World, name: &str) -> Vec<String> {
    let object = world.source.get("dnsendpoints", "shop", name).unwrap_or_default();
    let endpoints = object["spec"]["endpoints"].as_array().cloned().unwrap_or_default();
    let targets = endpoints.iter().map(|endpoint| endpoint["targets"][0].clone());
    targets.map(|target| target.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_ingress_is_reached_where_pods_are_ready() {
    let world = start().await;
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    let rule =
        json!({ "host": "a.com", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend }] } });
    world.source.put(
        "ingresses",
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "namespace": "shop", "name": "web", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "rules": [rule] },
        }),
    );
    for (target, ip) in [("eu", "192.0.2.1"), ("us", "192.0.2.2")] {
        let fake = &world.targets[target];
        until("a copy", || fake.get("ingresses", "shop", "web").is_some()).await;
        fake.edit("ingresses", "shop", "web", |copy| {
            copy["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": ip }] } });
        });
    }
    until("two records", || {
        records(&world, "ingress-web") == ["192.0.2.1", "192.0.2.2"]
    })
    .await;
    let shown = |world: &World| {
        world.source.get("ingresses", "shop", "web").unwrap()["status"]["loadBalancer"]["ingress"].clone()
    };
    until("two addresses", || {
        shown(&world) == json!([{ "ip": "192.0.2.1" }, { "ip": "192.0.2.2" }])
    })
    .await;
    let region = |slice: &Value| {
        slice["metadata"]["annotations"][names::REGION]
            .as_str()
            .map(str::to_owned)
    };
    let mut regions: Vec<_> = world
        .source
        .everywhere("endpointslices")
        .iter()
        .filter_map(region)
        .collect();
    regions.sort();
    assert_eq!(regions, ["eu", "us"]);
    ready(&world, "eu", false);
    let begin = tokio::time::Instant::now();
    until("eu to be left", || {
        records(&world, "ingress-web") == ["192.0.2.2"] && shown(&world) == json!([{ "ip": "192.0.2.2" }])
    })
    .await;
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
    world.source.remove("ingresses", "shop", "web");
    until("the end", || {
        world.source.everywhere("dnsendpoints").is_empty() && world.source.everywhere("endpointslices").is_empty()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_http_route_is_reached_through_the_gateways_of_the_targets() {
    let world = start().await;
    world.source.put(
        "httproutes",
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "namespace": "shop", "name": "web" },
            "spec": {
                "hostnames": ["b.com"], "parentRefs": [{ "name": "front" }],
                "rules": [{ "backendRefs": [{ "name": "web", "port": 80 }] }],
            },
        }),
    );
    let gateway = |status: Value| {
        let metadata = json!({ "namespace": "shop", "name": "front" });
        json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": metadata, "spec": {}, "status": status })
    };
    world.source.put("gateways", gateway(json!({})));
    for (target, ip) in [("eu", "192.0.2.1"), ("us", "192.0.2.2")] {
        let status = json!({ "addresses": [{ "type": "IPAddress", "value": ip }] });
        world.targets[target].put("gateways", gateway(status));
    }
    until("two records", || {
        records(&world, "httproute-web") == ["192.0.2.1", "192.0.2.2"]
    })
    .await;
    let shown = |world: &World| world.source.get("gateways", "shop", "front").unwrap()["status"]["addresses"].clone();
    until("two addresses", || {
        shown(&world).as_array().is_some_and(|all| all.len() == 2)
    })
    .await;
    ready(&world, "us", false);
    until("us to be left", || records(&world, "httproute-web") == ["192.0.2.1"]).await;
    until("one address", || {
        shown(&world) == json!([{ "type": "IPAddress", "value": "192.0.2.1" }])
    })
    .await;
}
