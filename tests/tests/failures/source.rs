//! The source is away: what runs in targets runs on, and the source catches up when it is back.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use multicluster_api::names;
use serde_json::json;
use testbed::{Component, ENDS, Process, eventually};

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::support::uids;
use super::world::{SOON, World, describe, is_running, node_of, phase};

/// How long the source is away.
const AWAY: Duration = Duration::from_secs(20);
/// How long the source may take to catch up. Not for what is ours: the stock controllers' watches pause up to a minute
/// between attempts when their API server was away (client-go's reflector), and only then they make new pods.
const CATCH_UP: Duration = Duration::from_secs(150);

/// The programs of ours in the source, and the second scheduler.
fn ours(world: &World) -> Result<[&Process; 4]> {
    let front = world.product.source.front()?;
    Ok([
        &world.product.source.agent,
        &front.webhook,
        &front.extender,
        &front.scheduler,
    ])
}

/// Start what does not run.
async fn bring_back(world: &World) -> Result<()> {
    for component in Component::ALL {
        let Ok(process) = world.source().component(component) else {
            continue;
        };
        if !process.is_running() {
            process.start()?;
        }
        if component == Component::ApiServer {
            world.source().wait_ready(SOON).await?;
        }
    }
    for process in ours(world)? {
        if !process.is_running() {
            process.start()?;
        }
    }
    world.product.source.wait_ready().await
}

/// All delegates of a namespace, with their targets.
async fn delegates(world: &World, ns: &str) -> Result<Vec<(String, Pod)>> {
    let mut all = Vec::new();
    for target in world.product.targets.keys() {
        all.extend(
            world
                .delegates(target, ns)
                .await?
                .into_iter()
                .map(|pod| (target.clone(), pod)),
        );
    }
    Ok(all)
}

fn parent(delegate: &Pod) -> String {
    delegate.labels()[names::PARENT_UID].clone()
}

fn restarts(pods: &[Pod]) -> i32 {
    let statuses = pods.iter().flat_map(|pod| pod.status.iter());
    let containers = statuses.flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).sum()
}

async fn story(world: &World, ns: &'static str, everything: bool) -> Result<()> {
    let ns = namespace(world, ns).await?;
    let once = Template::elected().spec("restartPolicy", json!("Never"));
    world.apply(&Template::elected().deployment(ns, "web", 6)).await?;
    world.apply(&once.pod(ns, "once")).await?;
    world.running(ns, 7).await?;
    let before = uids(&world.pods_of(ns, "web").await?);
    let once = uids(&world.pods_of(ns, "once").await?);
    let running = delegates(world, ns).await?;

    for component in [Component::ApiServer, Component::Etcd] {
        world.source().component(component)?.kill().await?;
    }
    if everything {
        for process in ours(world)? {
            process.kill().await?;
        }
    }
    let away = async {
        // Meanwhile one delegate goes, and one ends.
        let lost = running.iter().find(|(_, pod)| before.contains(&parent(pod)));
        let ends = running.iter().find(|(_, pod)| once.contains(&parent(pod)));
        let (Some((target, lost)), Some((there, ends))) = (lost, ends) else {
            anyhow::bail!("no delegates: {running:?}");
        };
        let kubectl = |target: &str, args: Vec<String>| {
            let cluster = world.target(target);
            async move {
                cluster
                    .kubectl(&args.iter().map(String::as_str).collect::<Vec<_>>())
                    .await
            }
        };
        let args = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        kubectl(
            there,
            args(&["annotate", "pod", "-n", ns, &ends.name_any(), &format!("{ENDS}=true")]),
        )
        .await?;
        kubectl(
            target,
            args(&["delete", "pod", "-n", ns, "--wait=false", &lost.name_any()]),
        )
        .await?;
        tokio::time::sleep(AWAY).await;
        let others: BTreeSet<_> = running
            .iter()
            .filter_map(|(_, pod)| pod.uid())
            .filter(|uid| Some(uid) != lost.uid().as_ref())
            .collect();
        let now: Vec<_> = delegates(world, ns).await?.into_iter().map(|(_, pod)| pod).collect();
        ensure!(others.is_subset(&uids(&now)), "delegates went meanwhile");
        Ok((parent(lost), others))
    };
    let away = away.await;
    bring_back(world).await?;
    let (lost, others) = away?;

    let kept: BTreeSet<_> = before.iter().filter(|uid| **uid != lost).cloned().collect();
    eventually("the source to catch up", CATCH_UP, async || {
        let (web, ended) = (world.pods_of(ns, "web").await?, world.pods_of(ns, "once").await?);
        let caught_up = web.len() == 6
            && web.iter().all(is_running)
            && !uids(&web).contains(&lost)
            && ended.iter().map(phase).eq(["Succeeded"]);
        ensure!(caught_up, "{}; {}", describe(&web), describe(&ended));
        Ok(Some(()))
    })
    .await?;
    let web = world.pods_of(ns, "web").await?;
    ensure!(kept.is_subset(&uids(&web)), "proxy pods were replaced");
    ensure!(restarts(&web) == 0, "containers were restarted");
    ensure!(uids(&world.pods_of(ns, "once").await?) == once);
    eventually("one delegate each", SOON, async || {
        world.check_delegates(ns).await.map(Some)
    })
    .await?;
    let now: Vec<_> = delegates(world, ns).await?.into_iter().map(|(_, pod)| pod).collect();
    ensure!(others.is_subset(&uids(&now)), "delegates were replaced");
    // All works as before.
    world.apply(&Template::elected().deployment(ns, "new", 2)).await?;
    let (new, _) = world.running_of(ns, "new", 2).await?;
    ensure!(new.iter().all(|pod| !node_of(pod).is_empty()));
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![
        alone("a_source_without_its_api_server", async |world| {
            story(&world, "source-api", false).await
        }),
        alone("a_source_without_anything", async |world| {
            story(&world, "source-all", true).await
        }),
    ]
}
