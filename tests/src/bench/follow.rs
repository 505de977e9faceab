//! Files that follow pods: how soon a change arrives, and what a source full of files that nobody uses costs.
//!
//! ```text
//! 5,000 ConfigMaps, 2,000 Services; 100 pods in 2 targets use 100 of them
//!   agent's memory at rest ─────────────────────────────▶ rss_mib_agent_5000_configmaps
//!   change of one in the source ─▶ watch in the target ─▶ follow_update_p50_s, follow_update_p99_s
//!   agent ended, one changed, agent started ─▶ the same ─▶ follow_start_up_s
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use multicluster_api::names;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::percentiles::Durations;
use super::proc::rss_mib;
use super::summary::{Goal, Summary};
use crate::product::{Product, Role, Scope};
use crate::{ClusterOptions, NodePool, Testbed, eventually};

const NAMESPACE: &str = "files";
const TARGETS: [&str; 2] = ["west", "east"];
const CONFIG_MAPS: usize = 5_000;
const SERVICES: usize = 2_000;
/// How many of each are used.
const USED: usize = 100;
/// Text in each ConfigMap.
const BYTES: usize = 1024;
/// Changes that are timed.
const CHANGES: usize = 300;
/// Creations under way at a time.
const CONCURRENCY: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);
/// The key that is changed.
const NUMBER: &str = "number";

/// Fill a source, and measure.
pub async fn measure(testbed: &Testbed, summary: &mut Summary) -> Result<()> {
    let targets = TARGETS.map(|name| ClusterOptions::new(name, [NodePool::new(name, 4)]));
    let source = ClusterOptions::new("source", []);
    let product = Product::start(testbed, source, Role::Source, targets.into()).await?;
    for target in TARGETS {
        product.connect(target, Scope::Cluster).await?;
    }
    product.namespace(NAMESPACE).await?;
    let follow = Follow { product: &product };
    follow.fill().await?;
    let homes = follow.homes().await?;
    follow.only_the_used_ones_travel().await?;
    let rss = rss_mib(product.source.agent.pid())?;
    summary.goal("rss_mib_agent_5000_configmaps", rss, Goal::AtMost(120.0));
    let mut watches = BTreeMap::new();
    for target in TARGETS {
        watches.insert(target.to_owned(), follow.watch(target)?);
    }
    let mut times = Vec::new();
    for number in 0..CHANGES {
        let (name, target) = &homes[number % homes.len()];
        let watch = watches.get_mut(target).context("a target without a watch")?;
        times.push(follow.change(name, &number.to_string(), watch).await?);
    }
    let times: Durations = times.into_iter().collect();
    summary.note("follow_update_p50_s", times.percentile(50.0).as_secs_f64());
    let p99 = times.percentile(99.0).as_secs_f64();
    summary.goal("follow_update_p99_s", p99, Goal::AtMost(2.0));

    product.source.agent.stop().await?;
    let (name, target) = &homes[0];
    follow.write(name, "while nobody looks").await?;
    product.source.agent.start()?;
    let started = Instant::now();
    let watch = watches.get_mut(target).context("a target without a watch")?;
    until(watch, name, "while nobody looks").await?;
    summary.goal("follow_start_up_s", started.elapsed().as_secs_f64(), Goal::AtMost(10.0));
    Ok(())
}

struct Follow<'a> {
    product: &'a Product,
}

type Watch = BoxStream<'static, watcher::Result<ConfigMap>>;

impl Follow<'_> {
    fn source<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.product.source.cluster.client(), NAMESPACE)
    }

    async fn fill(&self) -> Result<()> {
        let text = "x".repeat(BYTES);
        let config_maps = (0..CONFIG_MAPS).map(|number| {
            json!({ "metadata": { "name": format!("config-{number}") }, "data": { "text": text, NUMBER: "" } })
        });
        self.create::<ConfigMap>(config_maps).await?;
        let services = (0..SERVICES).map(|number| {
            json!({
                "metadata": { "name": format!("service-{number}") },
                "spec": { "selector": { "number": number.to_string() }, "clusterIP": "None", "ports": [{ "port": 80 }] },
            })
        });
        self.create::<Service>(services).await?;
        let pods = (0..USED).map(|number| {
            json!({
                "metadata": {
                    "name": format!("pod-{number}"),
                    "labels": { "number": number.to_string() },
                    "annotations": { names::ELECT: "" },
                },
                "spec": {
                    "containers": [{
                        "name": "main", "image": "none",
                        "envFrom": [{ "configMapRef": { "name": format!("config-{number}") } }],
                        "resources": { "requests": { "cpu": "10m" } },
                    }],
                },
            })
        });
        self.create::<Pod>(pods).await
    }

    async fn create<K>(&self, objects: impl Iterator<Item = serde_json::Value>) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        let api = &self.source::<K>();
        stream::iter(objects.map(|object| async move {
            let object: K = serde_json::from_value(object)?;
            api.create(&PostParams::default(), &object).await?;
            anyhow::Ok(())
        }))
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
    }

    /// Wait until all pods run. Returns each used ConfigMap with the target that its pod is in.
    async fn homes(&self) -> Result<Vec<(String, String)>> {
        let pods = self.source::<Pod>();
        eventually("all pods to run", PATIENCE, async || {
            let all = pods.list(&ListParams::default()).await?.items;
            let running = all.iter().filter(|pod| {
                let status = pod.status.as_ref();
                status.and_then(|status| status.phase.as_deref()) == Some("Running")
            });
            let homes: Vec<_> = running
                .filter_map(|pod| {
                    let node = pod.spec.as_ref()?.node_name.as_deref()?;
                    let target = TARGETS.into_iter().find(|target| node.ends_with(target))?;
                    Some((pod.name_any().replace("pod-", "config-"), target.to_owned()))
                })
                .collect();
            Ok((homes.len() == USED).then_some(homes))
        })
        .await
    }

    /// Each of the used ones is in one target, and none of the others in any.
    async fn only_the_used_ones_travel(&self) -> Result<()> {
        let copies = ListParams::default().labels(names::PARENT_CLUSTER_NAME);
        eventually("Services to follow", PATIENCE, async || {
            let (mut config_maps, mut services) = (0, 0);
            for target in TARGETS {
                let client = self.product.target(target)?.cluster.client();
                let there = Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE);
                config_maps += there.list_metadata(&copies).await?.items.len();
                let there = Api::<Service>::namespaced(client, NAMESPACE);
                services += there.list_metadata(&copies).await?.items.len();
            }
            ensure!(
                config_maps <= USED && services <= USED,
                "{config_maps} ConfigMaps and {services} Services have travelled"
            );
            Ok(((config_maps, services) == (USED, USED)).then_some(()))
        })
        .await
    }

    fn watch(&self, target: &str) -> Result<Watch> {
        let client = self.product.target(target)?.cluster.client();
        let there = Api::<ConfigMap>::namespaced(client, NAMESPACE);
        let copies = watcher::Config::default().labels(names::PARENT_CLUSTER_NAME);
        Ok(watcher(there, copies).default_backoff().applied_objects().boxed())
    }

    async fn write(&self, name: &str, value: &str) -> Result<()> {
        let patch = Patch::Merge(json!({ "data": { NUMBER: value } }));
        let config_maps = self.source::<ConfigMap>();
        config_maps.patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// From the answer to the change in the source until a watch in the target has shown it.
    async fn change(&self, name: &str, value: &str, watch: &mut Watch) -> Result<Duration> {
        self.write(name, value).await?;
        let written = Instant::now();
        until(watch, name, value).await?;
        Ok(written.elapsed())
    }
}

async fn until(watch: &mut Watch, name: &str, value: &str) -> Result<()> {
    let arrival = async {
        while let Some(object) = watch.next().await {
            let Ok(object) = object else { continue };
            let data = object.data.as_ref();
            if object.name_any() == name && data.and_then(|data| data.get(NUMBER)).is_some_and(|is| is == value) {
                return Ok(());
            }
        }
        anyhow::bail!("the watch has ended")
    };
    let arrived = tokio::time::timeout(PATIENCE, arrival).await;
    arrived.with_context(|| format!("a change of {name} has not arrived"))?
}
