//! Files, while targets are away.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::Network;

use super::files::{config_map, mounting};
use super::harness::alone;
use super::objects::{ConfigMap, entry};
use super::world::{Test, World};

/// An update meets a target that is away: the other one has it at once, this one when it is back.
async fn cut(world: &World, network: Network, ns: &'static str) -> Result<()> {
    world.namespace(ns).await?;
    world.apply(&config_map(ns, "settings", "one")).await?;
    for target in ["us", "eu"] {
        world
            .apply(&mounting(target, "settings").deployment(ns, target, 1))
            .await?;
    }
    world.running(ns, 2).await?;
    world.link("us").set(network);
    let meanwhile = while_away(world, ns).await;
    world.link("us").set(Network::Up);
    meanwhile?;
    let changed = |copy: &Value| entry(copy, "key").as_deref() == Some("two");
    world.becomes("us", ConfigMap, ns, "settings", changed).await?;
    world.product.wait_node_ready("admiralty-us").await
}

async fn while_away(world: &World, ns: &str) -> Result<()> {
    let start = Instant::now();
    world
        .patch("source", ConfigMap, ns, "settings", json!({ "data": { "key": "two" } }))
        .await?;
    let changed = |copy: &Value| entry(copy, "key").as_deref() == Some("two");
    let took = world
        .becomes_since(start, ("eu", ConfigMap, ns, "settings"), changed)
        .await?;
    ensure!(
        took < Duration::from_secs(2),
        "a target that is away slowed another one down: {took:?}"
    );
    let copy = world.find("us", ConfigMap, ns, "settings").await?.unwrap_or_default();
    ensure!(entry(&copy, "key").as_deref() == Some("one"), "the link is not cut");
    Ok(())
}

/// A file that is deleted in the source while a target is away goes there, too.
async fn deleted_meanwhile(world: &World) -> Result<()> {
    let ns = world.namespace("deleted-meanwhile").await?;
    world.apply(&config_map(ns, "settings", "one")).await?;
    world
        .apply(&mounting("us", "settings").deployment(ns, "web", 1))
        .await?;
    world.running(ns, 1).await?;
    world.link("us").set(Network::Dropping);
    let deleted = world.remove("source", ConfigMap, ns, "settings").await;
    let agent = &world.product.source.agent.all()[0].process;
    // Nobody remembers the file but its copy.
    let restarted = agent.kill().await;
    let started = agent.start();
    world.link("us").set(Network::Up);
    deleted?;
    restarted?;
    started?;
    world.leaves("us", ConfigMap, ns, "settings").await?;
    world.product.wait_node_ready("admiralty-us").await
}

pub fn tests() -> Vec<Test> {
    vec![
        alone("an_update_reaches_a_target_that_was_silent", async |world| {
            cut(&world, Network::Dropping, "update-silent").await
        }),
        alone("an_update_reaches_a_target_that_was_cut_off", async |world| {
            cut(&world, Network::Resetting, "update-cut-off").await
        }),
        alone("a_file_deleted_while_a_target_is_away_goes_there", async |world| {
            deleted_meanwhile(&world).await
        }),
    ]
}
