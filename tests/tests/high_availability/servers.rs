//! A replica of the extender or of the webhook goes while it is called.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use testbed::eventually;

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::leader::all_up;
use super::world::{SOON, World, node_of};

/// Wait until so many pods are bound.
async fn bound(world: &World, namespace: &str, count: usize) -> Result<()> {
    eventually("some pods to be bound", SOON, async || {
        let pods = world.pods(namespace).await?;
        let bound = pods.iter().filter(|pod| !node_of(pod).is_empty()).count();
        Ok((bound >= count).then_some(()))
    })
    .await
}

pub fn tests() -> Vec<Test> {
    vec![
        alone(
            "extenders_that_go_while_they_bind_lose_and_double_nothing",
            async |world| {
                let ns = namespace(&world, "extenders").await?;
                let extender = &world.product.source.front()?.extender;
                extender.wait_ready().await?;
                world.apply(&Template::elected().deployment(ns, "web", 40)).await?;
                bound(&world, ns, 3).await?;
                let [first, second] = extender.all() else {
                    anyhow::bail!("two extenders")
                };
                ensure!(first.stop().await?.success(), "{}", first.log_tail());
                first.start()?;
                extender.wait_ready().await?;
                // Some more, for the other one.
                world
                    .source()
                    .kubectl(&["scale", "deployment", "-n", ns, "web", "--replicas=60"])
                    .await?;
                bound(&world, ns, 42).await?;
                second.kill().await?;
                second.start()?;
                world.running(ns, 60).await?;
                eventually("one delegate each", SOON, async || {
                    world.check_delegates(ns).await.map(Some)
                })
                .await?;
                extender.wait_ready().await
            },
        ),
        alone("webhooks_that_stop_refuse_no_pod", async |world| {
            all_up(&world).await?;
            let ns = namespace(&world, "webhooks").await?;
            let webhook = &world.product.source.front()?.webhook;
            let pods = Api::<Pod>::namespaced(world.source().client(), ns);
            let create = async |number: usize| {
                // As long as both replicas take to restart.
                tokio::time::sleep(Duration::from_millis(300)).await;
                let pod = Template::elected().pod(ns, &format!("pod-{number}"));
                pods.create(&PostParams::default(), &serde_json::from_value(pod)?)
                    .await?;
                anyhow::Ok(())
            };
            let created = futures::stream::iter(0..100)
                .map(create)
                .buffer_unordered(4)
                .collect::<Vec<_>>();
            let restart = async {
                for replica in webhook.all() {
                    ensure!(replica.stop().await?.success(), "{}", replica.log_tail());
                    replica.start()?;
                    webhook.wait_ready().await?;
                }
                Ok(())
            };
            let (created, restarted) = tokio::join!(created, restart);
            restarted?;
            for result in created {
                result?;
            }
            world.running(ns, 100).await?;
            world.check_delegates(ns).await
        }),
    ]
}
