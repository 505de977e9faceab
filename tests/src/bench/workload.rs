//! A Deployment, and the time until all of its pods run.

use std::collections::HashSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{Stream, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use multicluster_api::names;
use serde_json::json;

use crate::{Cluster, eventually};

/// Longest wait for all pods to run, or to be gone.
const PATIENCE: Duration = Duration::from_secs(180);

/// A Deployment of many equal pods.
pub struct Workload<'a> {
    /// The cluster that it is created in.
    pub cluster: &'a Cluster,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// How many pods.
    pub pods: usize,
    /// Whether the pods are to go to other clusters.
    pub elect: bool,
}

impl Workload<'_> {
    /// Creates it. Returns the time from the request to create it to the news that the last pod runs.
    pub async fn run(&self) -> Result<Duration> {
        // The API server filters by phase, and sends metadata only: watching costs this program next to nothing.
        let config = watcher::Config::default()
            .fields("status.phase=Running")
            .labels(&format!("app={}", self.name));
        let mut events = pin!(watcher(self.api::<PartialObjectMeta<Pod>>(), config));
        until_listed(&mut events).await?;
        let start = Instant::now();
        let deployments = self.api::<Deployment>();
        deployments.create(&PostParams::default(), &self.deployment()?).await?;
        tokio::time::timeout(PATIENCE, self.until_running(&mut events))
            .await
            .with_context(|| format!("{}: not all pods ran within {PATIENCE:?}", self.name))??;
        Ok(start.elapsed())
    }

    async fn until_running<K: ResourceExt>(
        &self,
        events: &mut (impl Stream<Item = watcher::Result<Event<K>>> + Unpin),
    ) -> Result<()> {
        let mut running = HashSet::new();
        while running.len() < self.pods {
            match events.try_next().await? {
                Some(Event::Init) => running.clear(),
                Some(Event::InitApply(pod) | Event::Apply(pod)) => drop(running.insert(pod.uid())),
                Some(Event::Delete(pod)) => drop(running.remove(&pod.uid())),
                Some(Event::InitDone) => {}
                None => bail!("the watch ended"),
            }
        }
        Ok(())
    }

    /// Deletes it, and waits until its pods are gone.
    pub async fn delete(&self) -> Result<()> {
        self.api::<Deployment>()
            .delete(self.name, &DeleteParams::background())
            .await?;
        let pods = self.api::<Pod>();
        eventually(&format!("the pods of {} to be gone", self.name), PATIENCE, async || {
            let left = pods.list_metadata(&ListParams::default().limit(1)).await?;
            Ok(left.items.is_empty().then_some(()))
        })
        .await
    }

    fn api<K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.cluster.client(), self.namespace)
    }

    fn deployment(&self) -> Result<Deployment> {
        let labels = json!({ "app": self.name });
        let annotations = if self.elect {
            json!({ names::ELECT: "" })
        } else {
            json!({})
        };
        let requests = json!({ "cpu": "100m", "memory": "64Mi" });
        let deployment = json!({
            "metadata": { "name": self.name },
            "spec": {
                "replicas": self.pods,
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels, "annotations": annotations },
                    "spec": { "containers": [{ "name": "main", "image": "none", "resources": { "requests": requests } }] },
                },
            },
        });
        Ok(serde_json::from_value(deployment)?)
    }
}

async fn until_listed<K>(events: &mut (impl Stream<Item = watcher::Result<Event<K>>> + Unpin)) -> Result<()> {
    let listed = async {
        while !matches!(events.try_next().await?, Some(Event::InitDone) | None) {}
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, listed)
        .await
        .context("no list of pods in time")?
}
