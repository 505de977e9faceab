//! The work for one target: its chaperons are followed, and what [`super::decide`] says is carried out.

mod call;
mod follow;
mod node;
mod reconcile;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::StreamExt;
use kube::Client;
use multicluster_api::ClusterSummaryFields;
use multicluster_api::target::AnyTarget;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::call::CALL_TIMEOUT;
use super::chaperons::Chaperons;
use super::health::{Health, Heartbeats};
use super::keep_node::NodeKeeper;
use super::proxy_pods::ProxyPod;
use super::strays::Strays;
use crate::home::Home;
use crate::queue::Queue;

/// Pods of one target that are worked on at a time.
const CONCURRENCY: usize = 32;

/// One target, for as long as its Target object exists; connections come and go.
pub struct Link {
    home: Arc<Home>,
    node: String,
    target: RwLock<AnyTarget>,
    /// Its chaperons. Those of the last connection stay known while there is none.
    pub chaperons: Chaperons,
    queue: Queue<String>,
    keeper: NodeKeeper,
    heartbeats: Mutex<Heartbeats>,
    summary: Mutex<Option<ClusterSummaryFields>>,
    summary_changed: Notify,
    healthy: AtomicBool,
    unseen: Mutex<HashMap<String, Instant>>,
    strays: Arc<Strays>,
    /// It was told that the target does not let us delete.
    told_forbidden: AtomicBool,
}

impl Link {
    /// Not yet connected.
    pub fn new(home: Arc<Home>, target: AnyTarget) -> Arc<Self> {
        let node = target.target.virtual_node().as_str().to_owned();
        let keeper = NodeKeeper::new(home.client.clone(), &node, home.events.clone(), home.metrics.clone());
        Arc::new(Self {
            node,
            keeper,
            target: RwLock::new(target),
            chaperons: Chaperons::default(),
            queue: Queue::default(),
            heartbeats: Mutex::new(Heartbeats::new(Instant::now())),
            summary: Mutex::default(),
            summary_changed: Notify::new(),
            healthy: AtomicBool::new(true),
            unseen: Mutex::default(),
            strays: Arc::default(),
            told_forbidden: AtomicBool::new(false),
            home,
        })
    }

    /// Look at this pod.
    pub fn add(&self, uid: String) {
        self.queue.add(uid);
    }

    /// Serve the connected target until `stop`.
    pub async fn run(self: &Arc<Self>, target: AnyTarget, client: Client, stop: CancellationToken) {
        *self.target.write() = target.clone();
        *self.heartbeats.lock() = Heartbeats::new(Instant::now());
        self.told_forbidden.store(false, Ordering::SeqCst);
        let this = self.clone();
        let worker = client.clone();
        let work = move |uid: String| {
            let (this, client) = (this.clone(), worker.clone());
            async move { this.reconcile(&client, uid).await }
        };
        tokio::select! {
            () = self.queue.run(CONCURRENCY, stop.clone(), work) => {}
            () = self.watch_chaperons(&target, client.clone()) => {}
            () = self.watch_summary(client.clone()) => {}
            () = self.keep_node(&client) => {}
            () = self.renew_lease() => {}
            () = self.strays.clone().run(self.home.clone(), &self.node, stop) => {}
        }
    }

    /// The target cannot be connected.
    pub async fn failed(&self, target: AnyTarget, reason: &'static str, message: String) {
        *self.target.write() = target.clone();
        let health = Health::NotReady { reason, message };
        if let Err(error) = self.keeper.keep(&target, None, &health).await {
            tracing::warn!(node = self.node, %error, "virtual node");
        }
    }

    /// Does a change of this pod concern this target?
    pub fn concerns(&self, pod: &ProxyPod) -> bool {
        pod.node_name == self.node || self.chaperons.get(&pod.uid).is_some()
    }

    /// The Target is gone: what it had there should go too, as far as the cluster can still be reached.
    pub async fn remove(&self, client: Option<Client>) {
        if let Some(client) = client {
            let all = self
                .chaperons
                .parents()
                .into_iter()
                .filter_map(|parent| self.chaperons.get(&parent));
            let deletions = futures::stream::iter(all.map(|chaperon| {
                let client = client.clone();
                async move { self.delete_chaperon(&client, &chaperon).await }
            }));
            let failed = deletions
                .buffer_unordered(CONCURRENCY)
                .filter(|result| std::future::ready(result.is_err()));
            match tokio::time::timeout(CALL_TIMEOUT * 2, failed.count()).await {
                Ok(0) => {}
                _ => tracing::warn!(
                    node = self.node,
                    "the target was removed, and some of its pods could not be deleted"
                ),
            }
        }
        if let Err(error) = self.keeper.remove().await {
            tracing::warn!(node = self.node, %error, "removing the virtual node");
        }
    }
}
