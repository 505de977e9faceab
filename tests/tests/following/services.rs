//! Services follow the pods that they select, with all that they say.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::eventually;
use testbed::load_balancers::{Front, NAMED};

use super::harness::test;
use super::objects::{EndpointSlice, Service, annotation, label, list, merge};
use super::web::{deployments, only_in, service};
use super::world::{SOON, Test, World};

/// Fields that a cluster gives, and their values mean nothing in another one.
const GIVEN: [&str; 5] = ["clusterIP", "clusterIPs", "selector", "ports", "healthCheckNodePort"];

/// The spec without what a cluster gives.
fn said(object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.retain(|field, _| !GIVEN.contains(&field.as_str()));
    }
    let ports = object["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let ports: Vec<_> = ports.into_iter().map(without_node_port).collect();
    spec["ports"] = json!(ports);
    spec
}

fn without_node_port(mut port: Value) -> Value {
    if let Some(port) = port.as_object_mut() {
        port.remove("nodePort");
    }
    port
}

async fn every_field(world: &World) -> Result<()> {
    let ns = world.namespace("every-field").await?;
    let ports = json!([
        { "name": "http", "port": 80, "targetPort": "http", "appProtocol": "kubernetes.io/h2c", "nodePort": 30080 },
        { "name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP" },
    ]);
    let full = json!({
        "type": "LoadBalancer",
        "ports": ports,
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 77 } },
        "externalTrafficPolicy": "Local",
        "internalTrafficPolicy": "Local",
        "publishNotReadyAddresses": true,
        "loadBalancerClass": "example.com/alb",
        "loadBalancerSourceRanges": ["192.0.2.0/24"],
        "allocateLoadBalancerNodePorts": true,
        "ipFamilyPolicy": "PreferDualStack",
        "trafficDistribution": "PreferSameZone",
    });
    let mut full = service(ns, "full", full);
    let metadata = json!({
        "labels": { "team": "web" }, "annotations": { "example.com/idle-timeout": "60" }, "finalizers": ["example.com/x"],
    });
    merge(&mut full["metadata"], metadata);
    let mut all = deployments(ns, "full", &[("us", 2), ("eu", 1)]);
    all.push(full);
    world.apply(&list(&all)).await?;
    let original = world.find("source", Service, ns, "full").await?.unwrap();
    world.running(ns, 3).await?;
    for target in ["us", "eu"] {
        let copy = world.arrives(target, Service, ns, "full").await?;
        ensure!(
            said(&copy) == said(&original),
            "{:#} instead of {:#}",
            said(&copy),
            said(&original)
        );
        ensure!(
            copy["spec"]["selector"] == json!({ "multicluster.admiralty.io/app": "full" }),
            "{copy:#}"
        );
        ensure!(label(&copy, "team") == Some("web"), "{copy:#}");
        ensure!(annotation(&copy, "example.com/idle-timeout") == Some("60"), "{copy:#}");
        ensure!(annotation(&copy, names::GLOBAL) == Some("true"), "{copy:#}");
        ensure!(annotation(&copy, names::CILIUM_GLOBAL) == Some("true"), "{copy:#}");
        ensure!(
            copy["metadata"]["finalizers"]
                .to_string()
                .find("example.com/x")
                .is_none(),
            "{copy:#}"
        );
        finds_its_pods(world, target, ns, "full").await?;
        // The cloud gives what it gives, and it stays.
        let status = json!([{ "hostname": world.addresses(target).hostname(Front::Service) }]);
        let has = |copy: &Value| copy["status"]["loadBalancer"]["ingress"] == status;
        world.becomes(target, Service, ns, "full", has).await?;
    }
    assert_eq!(NAMED, "alb");
    world
        .patch(
            "source",
            Service,
            ns,
            "full",
            json!({ "metadata": { "finalizers": null } }),
        )
        .await
}

/// The target's own controller finds the delegates by the copy's selector, and nothing else.
pub async fn finds_its_pods(world: &World, target: &str, ns: &str, service: &str) -> Result<()> {
    eventually(
        &format!("{service} to have its endpoints in {target}"),
        SOON,
        async || {
            let slices = format!("kubernetes.io/service-name={service}");
            let slices = world.all(target, EndpointSlice, ns, &slices).await?;
            let endpoints = slices
                .iter()
                .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
            let found: BTreeSet<_> = endpoints
                .filter_map(|endpoint| endpoint["targetRef"]["name"].as_str().map(str::to_owned))
                .collect();
            let delegates = world.delegates(target, ns).await?;
            let wanted: BTreeSet<_> = delegates.iter().map(ResourceExt::name_any).collect();
            ensure!(!wanted.is_empty() && found == wanted, "{found:?} instead of {wanted:?}");
            Ok(Some(()))
        },
    )
    .await
}

/// Headless, node ports, and families: what a target has may differ from what the source has.
async fn kinds(world: &World) -> Result<()> {
    let ns = world.namespace("kinds-of-services").await?;
    let port = |port: u16, node_port: u16| json!([{ "port": port, "nodePort": node_port }]);
    // Somebody in the target has the node port already.
    let theirs = Service.object(
        ns,
        "theirs",
        json!({ "spec": { "type": "NodePort", "ports": port(80, 30123), "selector": { "app": "theirs" } } }),
    );
    world.target("us").apply_yaml(&theirs.to_string()).await?;
    let selecting = |name: &str, spec: Value| {
        let mut object = service(ns, name, spec);
        object["spec"]["selector"] = json!({ "app": "web" });
        object
    };
    let mut all = deployments(ns, "web", &[("us", 1)]);
    all.extend([
        selecting("headless", json!({ "clusterIP": "None" })),
        selecting("node-port", json!({ "type": "NodePort", "ports": port(80, 30123) })),
        selecting("local", json!({ "type": "NodePort", "externalTrafficPolicy": "Local" })),
        selecting("dual", json!({ "ipFamilyPolicy": "PreferDualStack" })),
    ]);
    world.apply(&list(&all)).await?;
    world.running(ns, 1).await?;
    let copy = world.arrives("us", Service, ns, "headless").await?;
    ensure!(copy["spec"]["clusterIP"] == "None", "{copy:#}");
    finds_its_pods(world, "us", ns, "headless").await?;
    let copy = world.arrives("us", Service, ns, "node-port").await?;
    ensure!(
        copy["spec"]["type"] == "NodePort" && copy["spec"]["ports"][0]["nodePort"] != 30123,
        "{copy:#}"
    );
    let copy = world.arrives("us", Service, ns, "local").await?;
    ensure!(copy["spec"]["externalTrafficPolicy"] == "Local", "{copy:#}");
    let copy = world.arrives("us", Service, ns, "dual").await?;
    ensure!(copy["spec"]["ipFamilyPolicy"] == "PreferDualStack", "{copy:#}");
    for name in ["node-port", "local", "dual"] {
        let address = async |cluster: &str| {
            let found = world.find(cluster, Service, ns, name).await?.unwrap_or_default();
            anyhow::Ok(found["spec"]["clusterIP"].clone())
        };
        ensure!(!address("us").await?.is_null(), "{name} has no address");
    }
    Ok(())
}

/// Services that lead to no proxy pod are none of our business.
async fn left_alone(world: &World) -> Result<()> {
    let ns = world.namespace("left-alone").await?;
    let external = json!({ "type": "ExternalName", "externalName": "example.com" });
    let external = Service.object(ns, "external", json!({ "spec": external }));
    let by_hand = Service.object(ns, "by-hand", json!({ "spec": { "ports": [{ "port": 80 }] } }));
    let others = service(ns, "others", json!({}));
    let mut all = deployments(ns, "web", &[("us", 1)]);
    let ordinary = super::fixtures::Template::ordinary().deployment(ns, "others", 1);
    all.extend([external, by_hand, others, ordinary, service(ns, "web", json!({}))]);
    world.apply(&list(&all)).await?;
    world.arrives("us", Service, ns, "web").await?;
    for name in ["external", "by-hand", "others"] {
        ensure!(
            world.find("us", Service, ns, name).await?.is_none(),
            "{name} has followed"
        );
        let original = world.find("source", Service, ns, name).await?.unwrap();
        ensure!(original["metadata"]["annotations"].is_null(), "{original:#}");
    }
    let original = world.find("source", Service, ns, "others").await?.unwrap();
    ensure!(
        original["spec"]["selector"] == json!({ "app": "others" }),
        "{original:#}"
    );
    Ok(())
}

/// The target's own Service of this name.
async fn taken(world: &World) -> Result<()> {
    let ns = world.namespace("service-taken").await?;
    let mut theirs = service(ns, "web", json!({}));
    theirs["spec"]["selector"] = json!({ "app": "theirs" });
    world.target("us").apply_yaml(&theirs.to_string()).await?;
    let theirs = world.find("us", Service, ns, "web").await?;
    world.web(ns, "web", &[("us", 1), ("eu", 1)], &[]).await?;
    world.arrives("eu", Service, ns, "web").await?;
    world.warned(ns, "Service", "web", &["us"]).await?;
    ensure!(
        world.find("us", Service, ns, "web").await? == theirs,
        "theirs was touched"
    );
    Ok(())
}

/// Keys that keep their name on the delegate keep it in the selector.
async fn kept_keys(world: &World) -> Result<()> {
    let ns = world.namespace("kept-keys").await?;
    let template = only_in("us")
        .label("tier", "front")
        .annotation(names::NO_PREFIX_LABEL_REGEXP, "^tier=");
    let mut selecting = service(ns, "web", json!({}));
    selecting["spec"]["selector"]["tier"] = json!("front");
    world
        .apply(&list(&[template.deployment(ns, "web", 1), selecting]))
        .await?;
    world.running(ns, 1).await?;
    let wanted = json!({ "multicluster.admiralty.io/app": "web", "tier": "front" });
    world
        .becomes("us", Service, ns, "web", |copy| copy["spec"]["selector"] == wanted)
        .await?;
    finds_its_pods(world, "us", ns, "web").await
}

pub fn tests() -> Vec<Test> {
    vec![
        test("a_service_follows_with_all_its_fields", async |world| {
            every_field(&world).await
        }),
        test("services_of_all_kinds_follow", async |world| kinds(&world).await),
        test("services_without_proxy_pods_are_left_alone", async |world| {
            left_alone(&world).await
        }),
        test("a_service_of_the_targets_own_people_is_left_alone", async |world| {
            taken(&world).await
        }),
        test("keys_that_delegates_keep_are_kept_in_selectors", async |world| {
            kept_keys(&world).await
        }),
    ]
}
