//! Links that are cut for less time than pods tolerate.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use testbed::Network;

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};

pub fn tests() -> Vec<Test> {
    vec![alone("a_short_cut_changes_nothing", async |world| {
        let ns = namespace(&world, "short-cut").await?;
        world.apply(&Template::elected().deployment(ns, "web", 6)).await?;
        let uids = |pods: Vec<k8s_openapi::api::core::v1::Pod>| {
            let mut uids: Vec<_> = pods.iter().filter_map(ResourceExt::uid).collect();
            uids.sort();
            uids
        };
        let before = uids(world.running(ns, 6).await?);
        for network in [Network::Dropping, Network::Resetting] {
            world.link("us").set(network);
            tokio::time::sleep(Duration::from_secs(5)).await;
            world.link("us").set(Network::Up);
            tokio::time::sleep(Duration::from_secs(10)).await;
            ensure!(
                uids(world.running(ns, 6).await?) == before,
                "pods were replaced after {network:?}"
            );
        }
        world.check_delegates(ns).await
    })]
}
