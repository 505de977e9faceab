//! The product is removed, with pods running, and nothing of it stays behind.
//!
//! One story in one world: each chapter begins with what the one before has left.
#![allow(clippy::unwrap_used)]

mod followers;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use fixtures::{Template, namespace};
use harness::alone;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use multicluster_api::names;
use serde_json::json;
use testbed::product::Seat;
use testbed::suite::{fixtures, harness, world};
use testbed::{Component, eventually};
use world::{SOON, World, describe, is_running, node_of};

fn main() {
    let story = alone("uninstalling_leaves_nothing_behind", async |world| {
        source_removed_by_its_manifests(&world).await?;
        source_installed_again(&world).await?;
        target_removed_by_its_manifests(&world).await?;
        target_removed_without_its_agent(&world).await?;
        source_removed_without_its_agent(&world).await
    });
    harness::main("uninstall", vec![story], World::start);
}

/// `kubectl delete -k`, straight away, with pods that run, pods that wait, a target that is the source itself, and one
/// that does not answer.
async fn source_removed_by_its_manifests(world: &World) -> Result<()> {
    let ns = namespace(world, "busy").await?;
    let itself = json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Target",
        "metadata": {"name": "itself", "namespace": ns}, "spec": {"self": true},
    });
    world.apply(&itself).await?;
    world.product.wait_node_ready("admiralty-busy-itself").await?;
    let here = Template::elected().on_virtual_nodes(names::TARGET_NAME, "itself");
    world.apply(&here.deployment(ns, "here", 2)).await?;
    followers::apply(world, ns).await?;
    let web = followers::using(Template::elected());
    world.apply(&web.deployment(ns, "web", 6)).await?;
    world.apply(&Template::elected().stateful_set(ns, "db", 2)).await?;
    eventually("all pods to run", SOON, async || {
        let pods = world.pods(ns).await?;
        let proxies = pods.iter().filter(|pod| node_of(pod).starts_with("admiralty-"));
        ensure!(
            proxies.filter(|pod| is_running(pod)).count() == 10,
            "{}",
            describe(&pods)
        );
        Ok(Some(()))
    })
    .await?;
    world
        .apply(&Template::elected().request("cpu", "39").pod(ns, "huge"))
        .await?;
    world.event(ns, "nodes are available").await?;

    let source = &world.product.source;
    let in_eu = world.delegates("eu", ns).await?.len();
    ensure!(in_eu > 0, "no pod went to eu");
    followers::arrived(world, ns).await?;
    followers::speaks_of_delegates(world, ns, true).await?;
    let hanging = world.target("eu").component(Component::ApiServer)?;
    hanging.pause()?;
    // kubectl waits for a minute at most.
    let removed = source.uninstall(Duration::from_secs(60)).await;
    hanging.resume()?;
    removed?;
    nothing_is_left(source).await?;
    ensure!(world.chaperons("us", ns).await?.is_empty(), "chaperons in us");
    followers::gone(world, "us", ns).await?;
    followers::speaks_of_delegates(world, ns, false).await?;
    // What could not be reached is left, and goes as the documentation says.
    ensure!(world.delegates("eu", ns).await?.len() == in_eu, "who has deleted them?");
    let ours = format!("{}=source", names::PARENT_CLUSTER_NAME);
    for kinds in ["podchaperons", "configmaps,secrets,services,ingresses"] {
        world
            .target("eu")
            .kubectl(&["delete", kinds, "-A", "-l", &ours, "--timeout=60s"])
            .await?;
    }
    followers::gone(world, "eu", ns).await?;
    world.nothing_left(ns).await?;
    // Their controllers have made plain pods, which run here; the one that never ran is a plain pod, too.
    eventually("plain pods to run", SOON, async || {
        let pods = world.pods(ns).await?;
        let plain = |pod: &&Pod| is_running(pod) && node_of(pod).starts_with("own-");
        ensure!(
            pods.len() == 11 && pods.iter().filter(plain).count() == 10,
            "{}",
            describe(&pods)
        );
        Ok(Some(()))
    })
    .await?;
    world
        .source()
        .kubectl(&["delete", "namespace", ns, "--timeout=60s"])
        .await?;
    Ok(())
}

async fn source_installed_again(world: &World) -> Result<()> {
    world.product.source.reinstall().await?;
    world.product.connect_all().await?;
    let ns = namespace(world, "again").await?;
    followers::apply(world, ns).await?;
    let web = followers::using(Template::elected());
    world.apply(&web.deployment(ns, "web", 6)).await?;
    world.apply(&Template::elected().stateful_set(ns, "db", 4)).await?;
    world.running(ns, 10).await?;
    followers::arrived(world, ns).await?;
    world.check_delegates(ns).await
}

/// Pods move to the target that is left, and no identity runs twice.
async fn target_removed_by_its_manifests(world: &World) -> Result<()> {
    let ns = "again";
    let eu = world.product.target("eu")?;
    let watched = async {
        loop {
            no_identity_runs_twice(world, ns).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let removed = async {
        eu.uninstall(Duration::from_secs(90)).await?;
        nothing_is_left(eu).await?;
        followers::gone(world, "eu", ns).await?;
        eventually("all pods to run in us", SOON * 2, async || {
            let pods = world.pods(ns).await?;
            let moved = |pod: &&Pod| is_running(pod) && node_of(pod) == "admiralty-us";
            ensure!(
                pods.len() == 10 && pods.iter().filter(moved).count() == 10,
                "{}",
                describe(&pods)
            );
            Ok(Some(()))
        })
        .await
    };
    tokio::select! { result = watched => result, result = removed => result }
}

/// Pods of a StatefulSet that run in a target at this moment, by name: at most one each.
async fn no_identity_runs_twice(world: &World, ns: &str) -> Result<()> {
    let mut identities: BTreeMap<String, String> = BTreeMap::new();
    for target in ["us", "eu"] {
        for delegate in world.delegates(target, ns).await? {
            let name = delegate.annotations()[names::PARENT_NAME].clone();
            if let Some(other) = identities.insert(name.clone(), target.to_owned()) {
                ensure!(!name.starts_with("db-"), "{name} runs in {other} and in {target}");
            }
        }
    }
    Ok(())
}

/// An agent that was killed cleans nothing up; `make uninstall` does.
async fn target_removed_without_its_agent(world: &World) -> Result<()> {
    let us = world.product.target("us")?;
    us.agent.kill().await?;
    let told = us.uninstaller(&[]).await?;
    ensure!(told.contains("deleted PodChaperon again/web-"), "{told}");
    ensure!(told.contains("deleted ConfigMap again/settings"), "{told}");
    followers::gone(world, "us", "again").await?;
    us.delete_manifests(Duration::from_secs(60)).await?;
    nothing_is_left(us).await?;
    // Nothing to do is no error.
    us.uninstaller(&[]).await.map(drop)
}

/// The worst order: the agent is dead, the manifests are deleted, and nobody is left who could clean up.
async fn source_removed_without_its_agent(world: &World) -> Result<()> {
    let source = &world.product.source;
    source.agent.kill().await?;
    let front = source.front()?;
    for process in [&front.webhook, &front.extender, &front.scheduler] {
        process.stop().await?;
    }
    let stuck = source.delete_manifests(Duration::from_secs(5)).await;
    ensure!(stuck.is_err(), "the manifests went, and the finalizers with them");
    ensure!(
        source.uninstaller(&["--check"]).await.is_err(),
        "there is something left to find"
    );
    let told = source.uninstaller(&[]).await?;
    ensure!(told.contains("released Pod again/"), "{told}");
    ensure!(told.contains("selectors were given back"), "{told}");
    followers::speaks_of_delegates(world, "again", false).await?;
    ensure!(told.contains("kubectl delete podchaperons"), "{told}");
    source.delete_manifests(Duration::from_secs(60)).await?;
    nothing_is_left(source).await
}

/// What the program finds, and what it does not know of.
async fn nothing_is_left(seat: &Seat) -> Result<()> {
    let told = seat.uninstaller(&["--check"]).await?;
    ensure!(told.contains("nothing is left"), "{told}");
    let cluster = &seat.cluster;
    for kinds in [
        "nodes,leases,pods,serviceaccounts",
        "clusterroles,clusterrolebindings,roles,rolebindings",
    ] {
        let objects = cluster.kubectl(&["get", kinds, "-A", "-o", "yaml"]).await?;
        for trace in [
            names::FINALIZER,
            names::UNINSTALL,
            "name: admiralty-",
            "name: multicluster-agent",
        ] {
            ensure!(!objects.contains(trace), "{trace} is left in {}", cluster.name());
        }
    }
    let webhooks = "mutatingwebhookconfigurations,validatingwebhookconfigurations,customresourcedefinitions";
    let named = cluster.kubectl(&["get", webhooks, "-o", "name"]).await?;
    ensure!(!named.contains("multicluster"), "{named}");
    Ok(())
}
