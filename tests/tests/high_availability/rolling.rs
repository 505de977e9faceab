//! All replicas are restarted, one after another, as an update does.

use anyhow::ensure;

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::leader::{all_up, leader};
use super::observer::{Steady, readiness};

pub fn tests() -> Vec<Test> {
    vec![alone(
        "a_rolling_restart_of_everything_changes_nothing",
        async |world| {
            all_up(&world).await?;
            let ns = namespace(&world, "rolling").await?;
            world.apply(&Template::elected().deployment(ns, "web", 10)).await?;
            world.running(ns, 10).await?;
            let (steady, nodes) = (Steady::observe(&world, ns).await?, readiness(&world).await?);
            for seat in world.product.seats() {
                let front = seat.front.iter();
                let components = front.flat_map(|front| [&front.webhook, &front.extender]);
                for component in components.chain([&seat.agent]) {
                    for replica in component.all() {
                        ensure!(replica.stop().await?.success(), "{}", replica.log_tail());
                        replica.start()?;
                        component.wait_ready().await?;
                    }
                }
                leader(seat).await?;
            }
            // What comes afterwards goes the usual way.
            world
                .source()
                .kubectl(&["scale", "deployment", "-n", ns, "web", "--replicas=10"])
                .await?;
            steady.check().await?;
            ensure!(
                readiness(&world).await? == nodes,
                "a virtual node was not Ready for a while"
            );
            world.check_delegates(ns).await
        },
    )]
}
