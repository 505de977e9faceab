//! A target without metrics.

use std::sync::Arc;

use anyhow::{Result, ensure};
use testbed::{eventually, usage};

use super::fixtures::{Template, namespace};
use super::harness::alone;
use super::top::top;
use super::world::{MEASURED, Test, World};

pub fn tests() -> Vec<Test> {
    vec![alone("a_target_without_metrics_harms_no_other", without_metrics)]
}

/// Given a target whose metrics API is taken away, its pods are shown no more, those of the other target are, and an event of
/// the target says what to do. When it is back, so are its pods, and an event says so.
async fn without_metrics(world: Arc<World>) -> Result<()> {
    let namespace = namespace(&world, "without").await?;
    let template = Template::elected()
        .evenly_over_targets("web")
        .annotation(usage::CPU, "25m");
    world.apply(&template.deployment(namespace, "web", 4)).await?;
    world.running(namespace, 4).await?;
    let shown = async |count: usize| {
        eventually(&format!("kubectl top to list {count} pods"), MEASURED, async || {
            let top = top(world.source(), &["pods", "--namespace", namespace]).await?;
            ensure!(top.len() == count, "{top:?}");
            Ok(Some(()))
        })
        .await
    };
    shown(4).await?;
    world.remove_metrics_server("us").await?;
    shown(2).await?;
    let text = world.kubelet("/nodes/admiralty-us/metrics/resource").await?;
    ensure!(text.contains("\nresource_scrape_error 1\n"), "{text}");
    // Events of objects without a namespace are in this one.
    world.event("default", "install metrics-server there").await?;
    world.start_metrics_server("us").await?;
    shown(4).await?;
    world.event("default", "what its pods use is known again").await?;
    Ok(())
}
