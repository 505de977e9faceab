//! The agent that leads goes, in the source or in a target.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kube::ResourceExt;
use testbed::eventually;
use testbed::product::{Replica, Seat, admin_get};

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::leader::{all_up, leader, successor};
use super::observer::{Lateness, Steady, readiness};
use super::world::{SOON, World};

/// What is known of targets, only the one that leads shows: two opinions would be no opinion.
async fn shows_no_target(standby: &Replica) -> Result<()> {
    let of_target = |line: &&str| line.starts_with("multicluster_") && line.contains("node=\"admiralty-");
    eventually("a standby to forget the targets", SOON, async || {
        let metrics = admin_get(standby.admin_port, "/metrics").await?;
        let left = metrics.lines().find(of_target);
        ensure!(left.is_none(), "{left:?}");
        Ok(Some(()))
    })
    .await
}

/// A pod whose delegate is in `us`, in a namespace of its own.
async fn pod_in_us(world: &Arc<World>, name: &'static str) -> Result<(Lateness, Steady)> {
    all_up(world).await?;
    let ns = namespace(world, name).await?;
    let template = Template::elected().on_virtual_nodes("topology.kubernetes.io/region", "us");
    world.apply(&template.deployment(ns, "web", 3)).await?;
    let pods = world.running(ns, 3).await?;
    let lateness = Lateness::observe(world, ns, &pods[0].name_any()).await?;
    Ok((lateness, Steady::observe(world, ns).await?))
}

/// The source and the target of the pods.
fn seats(world: &World) -> Result<[&Seat; 2]> {
    Ok([&world.product.source, world.product.target("us")?])
}

async fn hand_over(
    world: &World,
    lateness: &Lateness,
    most: Duration,
    end: impl AsyncFn(&Replica) -> Result<()>,
) -> Result<()> {
    let nodes = readiness(world).await?;
    for seat in seats(world)? {
        seat.wait_ready().await?;
        let (former, began) = (leader(seat).await?, Instant::now());
        end(former).await?;
        successor(seat, former).await?;
        let led = began.elapsed();
        lateness.caught_up().await?;
        eprintln!(
            "{}: another led after {led:?}; the longest that a change took to show: {:?}",
            seat.cluster.name(),
            lateness.longest()
        );
        ensure!(
            lateness.longest() <= most,
            "a change took {:?} to show",
            lateness.longest()
        );
        former.start()?;
        ensure!(
            readiness(world).await? == nodes,
            "a virtual node was not Ready for a while"
        );
    }
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![
        alone("a_leader_that_dies_is_replaced_within_5_s", async |world| {
            let (lateness, steady) = pod_in_us(&world, "killed-leaders").await?;
            let kill = async |agent: &Replica| agent.kill().await.map(drop);
            hand_over(&world, &lateness, Duration::from_secs(5), kill).await?;
            steady.check().await
        }),
        alone("a_leader_that_is_told_to_stop_is_replaced_within_3_s", async |world| {
            let (lateness, steady) = pod_in_us(&world, "stopped-leaders").await?;
            let stop = async |agent: &Replica| {
                ensure!(agent.stop().await?.success(), "{}", agent.log_tail());
                Ok(())
            };
            hand_over(&world, &lateness, Duration::from_secs(3), stop).await?;
            steady.check().await
        }),
        alone("leaders_that_hang_for_10_s_find_others_at_work", async |world| {
            let (lateness, steady) = pod_in_us(&world, "paused-leaders").await?;
            let mut former = Vec::new();
            for seat in seats(&world)? {
                former.push((seat, leader(seat).await?));
            }
            former.iter().try_for_each(|(_, agent)| agent.pause())?;
            let paused = Instant::now();
            for (seat, agent) in &former {
                successor(seat, agent).await?;
            }
            lateness.caught_up().await?;
            // Pods come and go meanwhile.
            let other = namespace(&world, "meanwhile").await?;
            world.apply(&Template::elected().deployment(other, "web", 5)).await?;
            world.running(other, 5).await?;
            tokio::time::sleep(Duration::from_secs(10).saturating_sub(paused.elapsed())).await;
            former.iter().try_for_each(|(_, agent)| agent.resume())?;
            world
                .source()
                .kubectl(&["scale", "deployment", "-n", other, "web", "--replicas=3"])
                .await?;
            world.running(other, 3).await?;
            lateness.caught_up().await?;
            for (seat, agent) in &former {
                let now = leader(seat).await?;
                ensure!(now.admin_port != agent.admin_port, "the former leader leads again");
                shows_no_target(agent).await?;
            }
            steady.check().await?;
            let check = async || world.check_delegates(other).await.map(Some);
            eventually("one delegate each", SOON, check).await?;
            readiness(&world).await.map(drop)
        }),
    ]
}
