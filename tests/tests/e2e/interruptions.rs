//! Components that are killed in the middle of their work.

use std::time::Duration;

use anyhow::ensure;
use multicluster_api::names;
use testbed::eventually;
use testbed::product::Scope;

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::world::{SOON, node_of};

pub fn tests() -> Vec<Test> {
    vec![
        alone(
            "an_extender_killed_while_it_binds_loses_and_doubles_nothing",
            async |world| {
                let ns = namespace(&world, "killed-extender").await?;
                world.apply(&Template::elected().deployment(ns, "web", 30)).await?;
                let extender = &world.product.source.front()?.extender;
                eventually("some pods to be bound", SOON, async || {
                    let bound = world
                        .pods(ns)
                        .await?
                        .iter()
                        .filter(|pod| !node_of(pod).is_empty())
                        .count();
                    Ok((bound >= 3).then_some(()))
                })
                .await?;
                extender.restart().await?;
                world.product.source.wait_ready().await?;
                world.running(ns, 30).await?;
                eventually("one delegate each", SOON, async || {
                    world.check_delegates(ns).await.map(Some)
                })
                .await
            },
        ),
        alone("agents_killed_while_pods_come_and_go_lose_nothing", async |world| {
            let ns = namespace(&world, "killed-agents").await?;
            world.apply(&Template::elected().deployment(ns, "web", 20)).await?;
            for seat in world.product.seats() {
                seat.agent.restart().await?;
            }
            world.running(ns, 20).await?;
            eventually("one delegate each", SOON, async || {
                world.check_delegates(ns).await.map(Some)
            })
            .await?;
            world
                .source()
                .kubectl(&["delete", "deployment", "-n", ns, "web"])
                .await?;
            for seat in world.product.seats() {
                seat.agent.restart().await?;
            }
            world.nothing_left(ns).await?;
            eventually("the proxy pods to go", SOON, async || {
                Ok(world.pods(ns).await?.is_empty().then_some(()))
            })
            .await
        }),
        alone("a_target_deleted_while_no_agent_runs_strands_no_pod", async |world| {
            let ns = namespace(&world, "unwatched").await?;
            let node = world.product.connect("us", Scope::Namespace(ns)).await?;
            let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
            world.apply(&template.deployment(ns, "web", 3)).await?;
            world.running(ns, 3).await?;
            world.product.source.agent.kill().await?;
            world.source().kubectl(&["delete", "target", "-n", ns, "us"]).await?;
            world.product.source.agent.start()?;
            eventually("the pods to be replaced by ones that wait", SOON, async || {
                let pods = world.pods(ns).await?;
                Ok((pods.len() == 3 && pods.iter().all(|pod| node_of(pod).is_empty())).then_some(()))
            })
            .await?;
            let nodes = world.source().kubectl(&["get", "nodes", "-o", "name"]).await?;
            ensure!(!nodes.contains(&node), "{nodes}");
            // With its Target back, the source sees what it has left there.
            world.product.connect("us", Scope::Namespace(ns)).await?;
            world.running(ns, 3).await?;
            eventually("one delegate each", SOON, async || {
                world.check_delegates(ns).await.map(Some)
            })
            .await
        }),
        alone("a_restart_of_the_agents_changes_nothing", async |world| {
            let ns = namespace(&world, "restart").await?;
            world.apply(&Template::elected().deployment(ns, "web", 4)).await?;
            let before = world.running(ns, 4).await?;
            for seat in world.product.seats() {
                seat.agent.restart().await?;
            }
            // Longer than a heartbeat may be missing; nothing is to happen, so there is nothing to wait for.
            tokio::time::sleep(Duration::from_secs(12)).await;
            let after = world.running(ns, 4).await?;
            let uids = |pods: &[k8s_openapi::api::core::v1::Pod]| {
                let mut uids: Vec<_> = pods.iter().map(|pod| pod.metadata.uid.clone()).collect();
                uids.sort();
                uids
            };
            ensure!(uids(&before) == uids(&after), "pods were replaced");
            world.check_delegates(ns).await
        }),
    ]
}
