//! Writes ClusterSummary and NodeSummary, each shard at most once a second and only when it changed.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt};
use multicluster_api::summary::SHARD_PREFIX;
use multicluster_api::view::PodView;
use multicluster_api::{ClusterSummary, ClusterSummaryFields, NodeSummary, names};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fence::Heartbeats;
use super::summary::Summary;
use crate::changes::{Change, Key, changes};
use crate::metrics::{KindLabel, Metrics};
use crate::{api_error, merge};

/// Shortest time between two writes of a shard.
const WRITE_PERIOD: Duration = Duration::from_secs(1);
/// How often the heartbeat is written. Sources wait for several of them before they give a cluster up.
pub const HEARTBEAT_PERIOD: Duration = Duration::from_secs(2);
/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes what this cluster has.
pub struct Publisher {
    client: Client,
    summary: Mutex<Summary>,
    listed: Mutex<Listed>,
    changed: Notify,
    heartbeats: Arc<Heartbeats>,
    /// Whether nodes are published one by one.
    node_summaries: bool,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Listed {
    nodes: bool,
    pods: bool,
}

impl Publisher {
    /// Not yet running.
    pub fn new(client: Client, node_summaries: bool, heartbeats: Arc<Heartbeats>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            heartbeats,
            client,
            summary: Mutex::default(),
            listed: Mutex::default(),
            changed: Notify::new(),
            node_summaries,
            metrics,
        })
    }

    /// A pod is new or changed.
    pub fn put_pod(&self, key: &Key, pod: &PodView) {
        self.summary.lock().put_pod(key, pod);
        self.changed.notify_one();
    }

    /// A pod is gone.
    pub fn remove_pod(&self, key: &Key) {
        self.summary.lock().remove_pod(key);
        self.changed.notify_one();
    }

    /// All pods that exist are known.
    pub fn pods_listed(&self) {
        self.listed.lock().pods = true;
        self.changed.notify_one();
    }

    fn listed(&self) -> bool {
        let listed = self.listed.lock();
        listed.nodes && listed.pods
    }

    /// Work until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.watch_nodes() => {}
            () = self.publish_shards() => {}
            () = self.publish_cluster() => {}
        }
    }

    async fn watch_nodes(&self) {
        let api = Api::<Node>::all(self.client.clone());
        let mut changes = std::pin::pin!(changes("nodes".into(), api, Config::default()));
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(node) => self.summary.lock().put_node(&node),
                Change::Gone((_, name)) => self.summary.lock().remove_node(&name),
                Change::Listed => self.listed.lock().nodes = true,
            }
            self.changed.notify_one();
        }
    }

    async fn publish_shards(&self) {
        if !self.node_summaries {
            return self.withdraw_shards().await;
        }
        let mut swept = 0;
        loop {
            self.changed.notified().await;
            if !self.listed() {
                continue;
            }
            let dirty = self.summary.lock().take_dirty();
            if dirty.is_empty() {
                continue;
            }
            let began = Instant::now();
            for shard in dirty {
                if let Err(error) = self.write_shard(shard).await {
                    tracing::warn!(shard, %error, "writing a NodeSummary");
                    self.summary.lock().mark_dirty(shard);
                    self.changed.notify_one();
                }
            }
            let shards = self.summary.lock().shard_count();
            self.metrics.shards.set(shards as i64);
            if shards != swept && self.delete_shards_from(shards).await.is_ok() {
                swept = shards;
            }
            // The first change is told at once, the next ones together.
            tokio::time::sleep_until(began + WRITE_PERIOD).await;
            self.changed.notify_one();
        }
    }

    async fn write_shard(&self, shard: usize) -> Result<(), kube::Error> {
        let name = shard_name(shard);
        let fields = self.summary.lock().shard(shard);
        let api = Api::<NodeSummary>::all(self.client.clone());
        let patch = json!({ "nodes": fields.nodes, "podsResourceVersion": fields.pods_resource_version });
        let (bytes, patch) = (patch.to_string().len(), Patch::Merge(patch));
        let result = match api.patch(&name, &PatchParams::default(), &patch).await {
            Err(error) if api_error::is_not_found(&error) => api
                .create(&PostParams::default(), &NodeSummary::new(&name, fields))
                .await
                .map(drop),
            result => result.map(drop),
        };
        result.inspect(|()| self.written("NodeSummary", bytes))
    }

    fn written(&self, kind: &'static str, bytes: usize) {
        let label = KindLabel { kind };
        self.metrics.summaries.get_or_create(&label).inc();
        self.metrics.summary_bytes.get_or_create(&label).inc_by(bytes as u64);
    }

    async fn delete_shards_from(&self, count: usize) -> Result<(), kube::Error> {
        let api = Api::<NodeSummary>::all(self.client.clone());
        for shard in api.list_metadata(&ListParams::default()).await? {
            let name = shard.name_any();
            let number = name
                .strip_prefix(SHARD_PREFIX)
                .and_then(|number| number.parse::<usize>().ok());
            if number.is_none_or(|number| number >= count) {
                api_error::ignore_gone(api.delete(&name, &DeleteParams::default()).await)?;
            }
        }
        Ok(())
    }

    /// Nodes are not published here any more: take away what an earlier configuration has written.
    async fn withdraw_shards(&self) {
        while let Err(error) = self.delete_shards_from(0).await {
            tracing::warn!(%error, "withdrawing NodeSummaries");
            tokio::time::sleep(WRITE_TIMEOUT).await;
        }
        std::future::pending().await
    }

    async fn publish_cluster(&self) {
        let cluster_id = self.cluster_id().await;
        let mut written = ClusterSummaryFields::default();
        let mut ticks = tokio::time::interval(HEARTBEAT_PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.listed() {
                // Until all is known, the sums are too small. Look again soon: sources wait for the first summary.
                ticks.reset_after(Duration::from_millis(50));
                continue;
            }
            match tokio::time::timeout(WRITE_TIMEOUT, self.write_cluster(&written, &cluster_id)).await {
                Ok(Ok(fields)) => written = fields,
                Ok(Err(error)) => tracing::warn!(%error, "writing the ClusterSummary"),
                Err(_) => tracing::warn!("writing the ClusterSummary takes too long"),
            }
        }
    }

    /// The UID of the namespace kube-system, which lives as long as its cluster.
    async fn cluster_id(&self) -> String {
        loop {
            match Api::<Namespace>::all(self.client.clone())
                .get_metadata("kube-system")
                .await
            {
                Ok(namespace) => return namespace.metadata.uid.unwrap_or_default(),
                Err(error) => tracing::warn!(%error, "reading the namespace kube-system, whose UID names this cluster"),
            }
            tokio::time::sleep(HEARTBEAT_PERIOD).await;
        }
    }

    async fn write_cluster(
        &self,
        written: &ClusterSummaryFields,
        cluster_id: &str,
    ) -> Result<ClusterSummaryFields, kube::Error> {
        let mut fields = {
            let summary = self.summary.lock();
            let shards = self.node_summaries.then(|| summary.shard_count() as i32);
            ClusterSummaryFields {
                node_summaries: shards,
                ..summary.cluster()
            }
        };
        let heartbeat = self.heartbeats.beat(Timestamp::now(), std::time::Instant::now());
        fields.heartbeat_time = Some(MicroTime(heartbeat));
        fields.cluster_id = Some(cluster_id.to_owned());
        fields.agent_version = Some(env!("CARGO_PKG_VERSION").into());
        let api = Api::<ClusterSummary>::all(self.client.clone());
        let patch = merge::diff_of(written, &fields)
            .map_err(kube::Error::SerdeError)?
            .unwrap_or_default();
        let bytes = patch.to_string().len();
        let first = written.heartbeat_time.is_none();
        let result = match first {
            // What is there may be of an earlier process: replace it as a whole.
            true => self.replace_cluster(&api, &fields).await,
            false => api
                .patch(names::CLUSTER_SUMMARY, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map(drop),
        };
        match result {
            Err(error) if api_error::is_not_found(&error) => {
                let summary = ClusterSummary::new(names::CLUSTER_SUMMARY, fields.clone());
                api.create(&PostParams::default(), &summary).await?;
            }
            result => result?,
        }
        self.written("ClusterSummary", bytes);
        Ok(fields)
    }

    async fn replace_cluster(
        &self,
        api: &Api<ClusterSummary>,
        fields: &ClusterSummaryFields,
    ) -> Result<(), kube::Error> {
        let mut summary = api.get(names::CLUSTER_SUMMARY).await?;
        summary.spec = fields.clone();
        api.replace(names::CLUSTER_SUMMARY, &PostParams::default(), &summary)
            .await
            .map(drop)
    }
}

fn shard_name(shard: usize) -> String {
    format!("{SHARD_PREFIX}{shard}")
}
