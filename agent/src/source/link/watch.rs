//! What the target tells: its summary, and the chaperons there.

use std::collections::HashSet;
use std::time::Instant;

use futures::StreamExt;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use multicluster_api::target::AnyTarget;
use multicluster_api::view::ChaperonView;
use multicluster_api::{ClusterSummary, names};

use super::Link;
use super::call::heartbeat;
use crate::changes::{Change, Key, changes};

impl Link {
    pub(super) async fn watch_chaperons(&self, target: &AnyTarget, client: Client) {
        let api = match &target.target.namespace {
            Some(namespace) => Api::<ChaperonView>::namespaced(client, namespace),
            None => Api::<ChaperonView>::all(client),
        };
        let ours = format!("{}={}", names::PARENT_CLUSTER_NAME, self.home.cluster_name);
        let mut changes = std::pin::pin!(changes(
            ("podchaperons", self.node.as_str()).into(),
            api,
            Config::default().labels(&ours)
        ));
        // What an earlier connection has seen and this one does not see went in between.
        let mut unseen: Option<HashSet<String>> = Some(self.chaperons.parents().into_iter().collect());
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(object) => {
                    if let Some(parent) = self.chaperons.put(&object, &self.node) {
                        unseen.as_mut().map(|unseen| unseen.remove(&parent));
                        self.place_chaperon(&parent);
                        self.queue.add(parent);
                    }
                }
                Change::Gone(key) => self.gone(&key),
                Change::Listed => {
                    for parent in unseen.take().unwrap_or_default() {
                        for chaperon in self.chaperons.all_of(&parent) {
                            self.gone(&chaperon.key);
                        }
                    }
                    self.chaperons.set_listed();
                    self.add_all();
                    self.set_chaperons_listed();
                }
            }
        }
    }

    fn gone(&self, key: &Key) {
        if let Some(parent) = self.chaperons.remove(key) {
            self.place_chaperon(&parent);
            self.queue.add(parent.clone());
            self.home.queue.add(parent);
        }
    }

    /// Look at everything anew.
    pub fn add_all(&self) {
        for uid in self.chaperons.parents().into_iter().chain(self.home.pods.uids()) {
            self.queue.add(uid);
        }
    }

    pub(super) async fn watch_summary(&self, client: Client) {
        let fields = format!("metadata.name={}", names::CLUSTER_SUMMARY);
        let api = Api::<ClusterSummary>::all(client);
        let mut changes = std::pin::pin!(changes(
            ("clustersummaries", self.node.as_str()).into(),
            api,
            Config::default().fields(&fields)
        ));
        while let Some(change) = changes.next().await {
            if let Change::Put(summary) = change {
                let (heartbeat, now) = (heartbeat(&summary), Instant::now());
                if self.judge.lock().heard(heartbeat, now) {
                    self.home.metrics.heard_of(&self.node);
                }
                if let Some(heartbeat) = heartbeat {
                    *self.received.lock() = Some((heartbeat, now));
                }
                *self.cluster.lock() = summary.metadata.uid;
                *self.summary.lock() = Some(summary.spec);
                self.summary_changed.notify_one();
            }
        }
    }
}
