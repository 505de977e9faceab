//! A source with many objects, of which few are used: only those travel, and the agent stays small and starts quickly.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use testbed::bench::proc::rss_mib;

use super::files::config_map;
use super::harness::alone;
use super::objects::{self, ConfigMap, Kind, Service, entry};
use super::web::only_in;
use super::world::{Test, World};

const CONFIG_MAPS: usize = 5_000;
const SERVICES: usize = 2_000;
/// Of each kind.
const USED: usize = 50;
/// Writes at a time.
const CONCURRENCY: usize = 32;
/// How long the agent may take until it does its work again.
const START: Duration = Duration::from_secs(10);
/// What it may hold in memory.
const MIB: f64 = 120.0;

async fn create(world: &World, kind: Kind, ns: &str, all: Vec<Value>) -> Result<()> {
    let api = objects::api(world.source(), kind, ns);
    let made = stream::iter(all).map(|object| {
        let api = api.clone();
        async move {
            let object: DynamicObject = serde_json::from_value(object)?;
            api.create(&PostParams::default(), &object).await?;
            anyhow::Ok(())
        }
    });
    made.buffer_unordered(CONCURRENCY).try_collect().await
}

async fn many(world: &World) -> Result<()> {
    let ns = world.namespace("many").await?;
    let text = "x".repeat(1000);
    let files = (0..CONFIG_MAPS).map(|number| config_map(ns, &format!("file-{number}"), &text));
    create(world, ConfigMap, ns, files.collect()).await?;
    let service = |number: usize| {
        let app = if number < USED { "web" } else { "none" };
        let spec = json!({ "clusterIP": "None", "selector": { "app": app }, "ports": [{ "port": 80 }] });
        Service.object(ns, &format!("service-{number}"), json!({ "spec": spec }))
    };
    create(world, Service, ns, (0..SERVICES).map(service).collect()).await?;
    let from: Vec<_> = (0..USED)
        .map(|number| json!({ "configMapRef": { "name": format!("file-{number}") } }))
        .collect();
    let container = json!({
        "name": "main", "image": "none", "envFrom": from, "resources": { "requests": { "cpu": "10m" } },
    });
    let template = only_in("us").spec("containers", json!([container]));
    world.apply(&template.deployment(ns, "web", 2)).await?;
    world.running(ns, 2).await?;
    for kind in [ConfigMap, Service] {
        world
            .becomes_true(&format!("{USED} of {kind:?} in us"), async || {
                let names = world
                    .all("us", kind, ns, multicluster_api::names::PARENT_CLUSTER_NAME)
                    .await?;
                Ok(names.len() == USED)
            })
            .await?;
    }
    let agent = &world.product.source.agent.all()[0].process;
    agent.kill().await?;
    world.apply(&config_map(ns, "file-7", "changed")).await?;
    let started = Instant::now();
    agent.start()?;
    world
        .becomes_true("the change to arrive", async || {
            let copy = world.find("us", ConfigMap, ns, "file-7").await?;
            Ok(copy.is_some_and(|copy| entry(&copy, "key").as_deref() == Some("changed")))
        })
        .await?;
    let (took, mib) = (started.elapsed(), rss_mib(agent.pid())?);
    println!("many objects: the agent did its work after {took:?}, with {mib:.0} MiB");
    ensure!(took < START, "the agent took {took:?}");
    ensure!(mib < MIB, "the agent holds {mib} MiB");
    let there = world
        .all("us", ConfigMap, ns, multicluster_api::names::PARENT_CLUSTER_NAME)
        .await?;
    ensure!(there.len() == USED, "{} ConfigMaps are in us", there.len());
    Ok(())
}

impl World {
    async fn becomes_true(&self, what: &str, check: impl AsyncFn() -> Result<bool>) -> Result<()> {
        testbed::eventually(what, super::world::SOON, async || Ok(check().await?.then_some(()))).await
    }
}

pub fn tests() -> Vec<Test> {
    vec![alone("of_many_objects_few_travel", async |world| many(&world).await)]
}
