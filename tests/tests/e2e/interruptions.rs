//! Components that are killed in the middle of their work.

use std::time::Duration;

use anyhow::ensure;
use testbed::eventually;

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::world::SOON;

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
                        .filter(|pod| !super::world::node_of(pod).is_empty())
                        .count();
                    Ok((bound >= 3).then_some(()))
                })
                .await?;
                extender.restart().await?;
                world.product.source.wait_ready().await?;
                world.running(ns, 30).await?;
                eventually("one delegate each", SOON, async || {
                    Ok(world.check_delegates(ns).await.ok())
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
                Ok(world.check_delegates(ns).await.ok())
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
