//! No delegate is made before its files are there: the target's own order of events says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Resource;
use kube::{Api, Client, ResourceExt};
use multicluster_api::names;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::task::JoinHandle;

use super::files::{config_map, secret};
use super::fixtures::Template;
use super::harness::{alone, test};
use super::world::{Test, World};

/// At which resourceVersion each object was created: one etcd counts for all kinds.
type Created = Arc<Mutex<BTreeMap<String, u64>>>;

/// Notes creations in a namespace of a cluster, until it is dropped.
pub struct Creations {
    pods: Created,
    files: Created,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Creations {
    pub async fn watch(client: Client, namespace: &str) -> Result<Self> {
        let (pods, files) = (Created::default(), Created::default());
        let tasks = vec![
            note::<Pod>(client.clone(), namespace, pods.clone()).await?,
            note::<ConfigMap>(client, namespace, files.clone()).await?,
        ];
        Ok(Self { pods, files, tasks })
    }

    /// Every delegate came after this ConfigMap. How many there were.
    pub fn check(&self, file: &str) -> Result<usize> {
        for task in &self.tasks {
            ensure!(!task.is_finished(), "a watch has ended");
        }
        let file = *self
            .files
            .lock()
            .get(file)
            .with_context(|| format!("{file} never came"))?;
        let pods = self.pods.lock();
        for (pod, version) in pods.iter() {
            ensure!(*version > file, "{pod} was made at {version}, its file at {file}");
        }
        Ok(pods.len())
    }
}

impl Drop for Creations {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn note<K>(client: Client, namespace: &str, created: Created) -> Result<JoinHandle<Result<()>>>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let objects = Api::<K>::namespaced(client, namespace);
    let now = objects.list(&ListParams::default()).await?.metadata.resource_version;
    let labels = WatchParams::default().labels(names::PARENT_UID);
    let from = now.unwrap_or_default();
    Ok(tokio::spawn(async move {
        let mut events = objects.watch(&labels, &from).await?.boxed();
        while let Some(event) = events.try_next().await? {
            if let WatchEvent::Added(object) = event {
                let version = object.resource_version().unwrap_or_default().parse()?;
                created.lock().entry(object.name_any()).or_insert(version);
            }
        }
        Ok(())
    }))
}

/// A template for any target, with a ConfigMap and a Secret.
fn template() -> Template {
    let volumes = json!([
        { "name": "a", "configMap": { "name": "settings" } },
        { "name": "b", "secret": { "secretName": "password" } },
    ]);
    Template::elected().spec("volumes", volumes)
}

async fn fifty_pods(world: &World) -> Result<()> {
    let ns = world.namespace("fifty").await?;
    let watches = [
        Creations::watch(world.target("us").client(), ns).await?,
        Creations::watch(world.target("eu").client(), ns).await?,
    ];
    for file in [config_map(ns, "settings", "one"), secret(ns, "password", "one")] {
        world.apply(&file).await?;
    }
    world.apply(&template().deployment(ns, "web", 50)).await?;
    world.running(ns, 50).await?;
    world.check_delegates(ns).await?;
    let delegates: usize = watches.iter().map(|watch| watch.check("settings")).sum::<Result<_>>()?;
    ensure!(delegates >= 50, "only {delegates} delegates were seen");
    Ok(())
}

/// The agent of the source dies while files and pods are on their way, and comes back.
async fn agent_killed(world: &World) -> Result<()> {
    let ns = world.namespace("agent-killed").await?;
    let watches = [
        Creations::watch(world.target("us").client(), ns).await?,
        Creations::watch(world.target("eu").client(), ns).await?,
    ];
    for file in [config_map(ns, "settings", "one"), secret(ns, "password", "one")] {
        world.apply(&file).await?;
    }
    world.apply(&template().deployment(ns, "web", 20)).await?;
    let agent = &world.product.source.agent.all()[0].process;
    // The first pod is on its way: it has been sent.
    testbed::eventually("a chaperon", super::world::SOON, async || {
        let sent = world.chaperons("us", ns).await?.len() + world.chaperons("eu", ns).await?.len();
        Ok((sent > 0).then_some(()))
    })
    .await?;
    agent.kill().await?;
    agent.start()?;
    world.running(ns, 20).await?;
    world.check_delegates(ns).await?;
    for watch in &watches {
        watch.check("settings")?;
    }
    // What it knew of, it knows again: what is unused goes, what is used stays.
    world.scale(ns, "web", 0).await?;
    for target in ["us", "eu"] {
        world.leaves(target, super::objects::ConfigMap, ns, "settings").await?;
    }
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![
        test("none_of_fifty_pods_is_made_before_its_files", async |world| {
            fifty_pods(&world).await
        }),
        alone("files_come_first_although_the_agent_is_killed", async |world| {
            agent_killed(&world).await
        }),
    ]
}
