//! The cluster's own kube-scheduler carries the extender, instead of a second one.
#![allow(clippy::unwrap_used)]

use anyhow::{Context, Result, ensure};
use fixtures::{Template, namespace};
use harness::{Test, test};
use serde_json::Value;
use testbed::Testbed;
use testbed::product::{point_at_extender, repository};
use testbed::suite::{fixtures, harness, world};
use world::{World, node_of};

fn main() {
    harness::main("own-scheduler", tests(), start);
}

/// The same clusters, but the source has one scheduler only, with the shipped example of a configuration.
async fn start(testbed: Testbed) -> Result<World> {
    let world = World::start(testbed).await?;
    let front = world.product.source.front()?;
    front.scheduler.kill().await?;
    world.source().component(testbed::Component::Scheduler)?.kill().await?;
    let path = repository().join("manifests/own-scheduler/kube-scheduler-config.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut config: Value = serde_saphyr::from_str(&text)?;
    config["leaderElection"]["leaderElect"] = false.into();
    point_at_extender(&mut config, front.extender_port, &front.scheduler_tls);
    let scheduler = world
        .source()
        .start_scheduler("own-kube-scheduler", &config.to_string())
        .await?;
    world.product.source.keep(scheduler);
    Ok(world)
}

fn tests() -> Vec<Test> {
    vec![
        test("ordinary_pods_pass_the_extender", async |world| {
            let ns = namespace(&world, "ordinary").await?;
            world.apply(&Template::ordinary().deployment(ns, "web", 10)).await?;
            for pod in world.running(ns, 10).await? {
                ensure!(node_of(&pod).starts_with("own-"), "on {}", node_of(&pod));
            }
            world.nothing_left(ns).await
        }),
        test(
            "ordinary_pods_that_tolerate_everything_stay_off_virtual_nodes",
            async |world| {
                let ns = namespace(&world, "tolerant").await?;
                let all = serde_json::json!([{"operator": "Exists"}]);
                world
                    .apply(&Template::ordinary().spec("tolerations", all).deployment(ns, "web", 10))
                    .await?;
                for pod in world.running(ns, 10).await? {
                    ensure!(node_of(&pod).starts_with("own-"), "on {}", node_of(&pod));
                }
                Ok(())
            },
        ),
        test("elected_pods_go_to_targets", async |world| {
            let ns = namespace(&world, "elected").await?;
            world.apply(&Template::elected().deployment(ns, "web", 10)).await?;
            world.running(ns, 10).await?;
            world.check_delegates(ns).await?;
            world
                .source()
                .kubectl(&["delete", "deployment", "-n", ns, "web"])
                .await?;
            world.nothing_left(ns).await
        }),
        test("both_kinds_at_once", async |world| {
            let ns = namespace(&world, "mixed").await?;
            world.apply(&Template::ordinary().deployment(ns, "plain", 10)).await?;
            world.apply(&Template::elected().deployment(ns, "elected", 20)).await?;
            world.running(ns, 30).await?;
            let spread = world.spread(ns).await?;
            let own: usize = spread
                .iter()
                .filter(|(node, _)| node.starts_with("own-"))
                .map(|(_, count)| count)
                .sum();
            ensure!(own == 10, "{spread:?}");
            Ok(())
        }),
    ]
}
