//! An autoscaler in the source.

use std::sync::Arc;

use anyhow::Result;
use testbed::autoscaling::Scaled;
use testbed::usage::{self, set_load};

use super::fixtures::{Template, namespace};
use super::harness::test;
use super::world::{MEASURED, Test, World};

pub fn tests() -> Vec<Test> {
    vec![test("an_autoscaler_scales_one_deployment_over_two_targets", scales)]
}

/// Given pods that request 100m and use 20m, when each uses 200m there are more of them, in both targets; when the load
/// falls they go.
async fn scales(world: Arc<World>) -> Result<()> {
    let namespace = namespace(&world, "scaled").await?;
    let scaled = Scaled {
        namespace,
        name: "web",
        least: 2,
        most: 6,
        percent: 50,
    };
    let template = Template::elected()
        .evenly_over_targets("web")
        .request("cpu", "100m")
        .annotation(usage::CPU, "20m");
    world.apply(&template.deployment(namespace, "web", 2)).await?;
    world.running(namespace, 2).await?;
    world.apply(&scaled.autoscaler()).await?;
    let load = async |on: bool| {
        for target in ["eu", "us"] {
            set_load(world.target(target), namespace, on.then_some("200m")).await?;
        }
        Ok(())
    };
    scaled.follows_load(&world.source().client(), load, MEASURED).await?;
    world.check_delegates(namespace).await
}
