//! Most targets fall silent at once: it is the source that is cut off, and nobody is evicted.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use testbed::{Network, eventually};

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::support::{node, tolerating, uids};
use super::world::{SOON, World, describe, node_of};

/// Much longer than the pods tolerate.
const CUT: Duration = Duration::from_secs(45);
const TARGETS: [&str; 2] = ["us", "eu"];

fn set_all(world: &World, network: Network) {
    TARGETS.iter().for_each(|target| world.link(target).set(network));
}

async fn cut_off(world: &World) -> Result<bool> {
    let metrics = world.product.source.agent_metrics().await?;
    Ok(metrics.lines().any(|line| line == "multicluster_agent_mass_failure 1"))
}

/// How many events tell of it, for each virtual node.
async fn events(world: &World) -> Result<Vec<usize>> {
    let all = Api::<Event>::all(world.source().client())
        .list(&ListParams::default())
        .await?;
    let about = |target: &&str| {
        let told = all
            .iter()
            .filter(|event| event.reason.as_deref() == Some("MostTargetsUnreachable"));
        let told = told.filter(|event| event.involved_object.name == Some(node(target)));
        told.map(|event| event.count.unwrap_or(1).max(1) as usize).sum()
    };
    Ok(TARGETS.iter().map(about).collect())
}

pub fn tests() -> Vec<Test> {
    vec![alone("most_targets_away_at_once_move_no_pod", async |world| {
        let ns = namespace(&world, "cut-off").await?;
        world.apply(&tolerating(Some(5)).deployment(ns, "web", 8)).await?;
        let before = uids(&world.running(ns, 8).await?);
        let told = events(&world).await?;
        set_all(&world, Network::Dropping);
        let away = async {
            let start = Instant::now();
            eventually("the agent to suppose that it is cut off", SOON, async || {
                Ok(cut_off(&world).await?.then_some(()))
            })
            .await?;
            eprintln!("noticed after {:.1?}", start.elapsed());
            world.apply(&Template::elected().deployment(ns, "new", 2)).await?;
            while start.elapsed() < CUT {
                let pods = world.pods_of(ns, "web").await?;
                ensure!(uids(&pods) == before, "pods were replaced: {}", describe(&pods));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            for target in TARGETS {
                let ready = world.node_ready(target).await?;
                let shown = (ready.status.as_str(), ready.reason.as_deref());
                ensure!(shown == ("True", Some("MostTargetsUnreachable")), "{ready:?}");
                ensure!(world.target_reason(target).await? == "APIServerTimeout");
            }
            let new = world.pods_of(ns, "new").await?;
            ensure!(new.iter().all(|pod| node_of(pod).is_empty()), "{}", describe(&new));
            let told: Vec<_> = events(&world)
                .await?
                .iter()
                .zip(&told)
                .map(|(now, before)| now - before)
                .collect();
            ensure!(told == [1, 1], "events for each node: {told:?}");
            Ok(())
        };
        let away = away.await;
        set_all(&world, Network::Up);
        away?;
        eventually("both targets to be Ready again", SOON, async || {
            for target in TARGETS {
                let reason = world.node_ready(target).await?.reason;
                ensure!(reason.as_deref() == Some("TargetReady"), "{target}: {reason:?}");
            }
            ensure!(!cut_off(&world).await?, "still cut off");
            Ok(Some(()))
        })
        .await?;
        world.running(ns, 10).await?;
        ensure!(
            uids(&world.pods_of(ns, "web").await?) == before,
            "pods were replaced afterwards"
        );
        eventually("one delegate each", SOON, async || {
            world.check_delegates(ns).await.map(Some)
        })
        .await
    })]
}
