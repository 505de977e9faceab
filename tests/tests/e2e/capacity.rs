//! Targets that are just large enough.

use std::collections::BTreeMap;

use anyhow::ensure;

use super::fixtures::{Template, namespace};
use super::harness::{Test, test};
use super::world::{SLOT, node_of};

pub fn tests() -> Vec<Test> {
    vec![test("thirty_pods_that_only_just_fill_both_targets", async |world| {
        let ns = namespace(&world, "just-fills").await?;
        // 2 targets × 5 nodes × 3 slots.
        world
            .apply(&Template::elected().request(SLOT, "1").deployment(ns, "web", 30))
            .await?;
        world.running(ns, 30).await?;
        world.check_delegates(ns).await?;
        let spread = world.spread(ns).await?;
        ensure!(spread.values().all(|count| *count == 15), "{spread:?}");
        for target in ["us", "eu"] {
            let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
            for delegate in world.delegates(target, ns).await? {
                *nodes.entry(node_of(&delegate)).or_default() += 1;
            }
            ensure!(nodes.values().all(|count| *count == 3), "{target}: {nodes:?}");
        }
        // One more waits, and runs as soon as there is room, without anyone's help.
        world
            .apply(&Template::elected().request(SLOT, "1").pod(ns, "late"))
            .await?;
        world.event(ns, SLOT).await?;
        ensure!(world.pods(ns).await?.iter().any(|pod| node_of(pod).is_empty()));
        world
            .source()
            .kubectl(&["scale", "deployment", "-n", ns, "web", "--replicas=29"])
            .await?;
        world.running(ns, 30).await?;
        world.source().kubectl(&["delete", "namespace", ns]).await?;
        world.nothing_left(ns).await
    })]
}
