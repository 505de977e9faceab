//! Services that change, and that go.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::eventually;

use super::harness::{alone, test};
use super::objects::Service;
use super::services::finds_its_pods;
use super::web::service;
use super::world::{SOON, Test, World};

/// What a Service's user changes follows at once; what the target gave stays.
async fn updates(world: &World) -> Result<()> {
    let ns = world.namespace("service-updates").await?;
    world.web(ns, "web", &[("us", 1), ("eu", 1)], &[]).await?;
    let node_port = json!({ "spec": { "type": "NodePort" } });
    world.patch("source", Service, ns, "web", node_port).await?;
    let is_node_port = |copy: &Value| copy["spec"]["type"] == "NodePort";
    let before = world.becomes("us", Service, ns, "web", is_node_port).await?;
    world.becomes("eu", Service, ns, "web", is_node_port).await?;

    let start = Instant::now();
    let ports = json!({ "spec": { "ports": [
        { "name": "http", "port": 80 }, { "name": "https", "port": 443, "targetPort": "tls" },
    ] } });
    world.patch("source", Service, ns, "web", ports).await?;
    let changed = |copy: &Value| copy["spec"]["ports"][1]["targetPort"] == "tls";
    for target in ["us", "eu"] {
        let took = world
            .becomes_since(start, (target, Service, ns, "web"), changed)
            .await?;
        ensure!(took < Duration::from_secs(2), "an update took {took:?} to {target}");
    }
    let after = world.find("us", Service, ns, "web").await?.unwrap();
    ensure!(after["spec"]["clusterIP"] == before["spec"]["clusterIP"], "{after:#}");
    ensure!(
        after["metadata"]["uid"] == before["metadata"]["uid"],
        "it was made anew"
    );
    // A change back to what needs no node port gives it back.
    world
        .patch("source", Service, ns, "web", json!({ "spec": { "type": "ClusterIP" } }))
        .await?;
    let plain = |copy: &Value| copy["spec"]["type"] == "ClusterIP" && copy["spec"]["ports"][0]["nodePort"].is_null();
    world.becomes("us", Service, ns, "web", plain).await.map(drop)
}

/// A field that cannot be changed is changed by a new object, in the source and here.
async fn made_anew(world: &World) -> Result<()> {
    let ns = world.namespace("made-anew").await?;
    world.web(ns, "web", &[("us", 1)], &[]).await?;
    let before = world.arrives("us", Service, ns, "web").await?;
    world.remove("source", Service, ns, "web").await?;
    world.apply(&service(ns, "web", json!({ "clusterIP": "None" }))).await?;
    let headless = |copy: &Value| copy["spec"]["clusterIP"] == "None";
    let after = world.becomes("us", Service, ns, "web", headless).await?;
    ensure!(after["metadata"]["uid"] != before["metadata"]["uid"]);
    finds_its_pods(world, "us", ns, "web").await
}

/// It is where its pods are, and leaves when they have.
async fn goes(world: &World) -> Result<()> {
    let ns = world.namespace("service-goes").await?;
    world.web(ns, "web", &[("us", 1), ("eu", 1)], &[]).await?;
    for target in ["us", "eu"] {
        world.arrives(target, Service, ns, "web").await?;
    }
    world.scale(ns, "web-us", 0).await?;
    // Not at once: a rollout must not cost a load balancer.
    eventually("the Service to leave us", 3 * SOON, async || {
        Ok(world.find("us", Service, ns, "web").await?.is_none().then_some(()))
    })
    .await?;
    world.remove("source", Service, ns, "web").await?;
    world.leaves("eu", Service, ns, "web").await
}

pub fn tests() -> Vec<Test> {
    vec![
        // Others' work must not slow down what is timed.
        alone("an_update_of_a_service_follows_within_two_seconds", async |world| {
            updates(&world).await
        }),
        test("a_service_that_is_made_anew_is_made_anew", async |world| {
            made_anew(&world).await
        }),
        test("a_service_goes_with_its_pods", async |world| goes(&world).await),
    ]
}
