//! Watches of one target, and how their events enter the index.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashSet;
use futures::{Stream, StreamExt};
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client};
use multicluster_api::target::{Access, AnyTarget};
use multicluster_api::{ClusterSummary, NodeSummary, PodChaperon, TargetRef, names};
use multicluster_runtime::admin::Readiness;
use multicluster_runtime::metrics::watches;
use multicluster_targets::watching::try_watch;
use multicluster_targets::{ConnectError, Runner, identity};
use tokio_util::sync::CancellationToken;

use crate::core::attempt::{Attempt, made_by};
use crate::core::nodes::Shard;
use crate::core::pod::Wanted;
use crate::index::Index;

/// Part of the readiness: all targets are known, though not all of them need be reachable.
pub const TARGETS_LISTED: &str = "targets";

/// Feeds the index.
pub struct Watches {
    index: Arc<Index>,
    cluster: Arc<str>,
    readiness: Readiness,
}

impl Watches {
    /// Watches chaperons of the source cluster called `cluster`.
    pub fn new(index: Arc<Index>, cluster: &str, readiness: Readiness) -> Self {
        readiness.expect(TARGETS_LISTED);
        Self {
            index,
            cluster: cluster.into(),
            readiness,
        }
    }

    /// Returns when the target has been silent for so long that its watches may have died: a connection that a
    /// firewall has forgotten says nothing, not even that it is closed.
    async fn silence(&self, target: &TargetRef) {
        while !self.index.should_reconnect(target, Instant::now()) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn summary(&self, target: &TargetRef, client: Client) {
        let only = Config::default().fields(&format!("metadata.name={}", names::CLUSTER_SUMMARY));
        let mut events = self.follow("clustersummaries", target, Api::<ClusterSummary>::all(client), only);
        let mut listed = false;
        while let Some(event) = events.next().await {
            match event {
                Event::Init => listed = false,
                Event::InitApply(summary) | Event::Apply(summary) => {
                    listed = true;
                    self.index.summary(target, Some(&summary), Instant::now());
                }
                Event::InitDone if listed => {}
                Event::InitDone | Event::Delete(_) => self.index.summary(target, None, Instant::now()),
            }
        }
    }

    async fn nodes(&self, target: &TargetRef, client: Client) {
        let mut events = self.follow(
            "nodesummaries",
            target,
            Api::<NodeSummary>::all(client),
            Config::default().page_size(20),
        );
        let mut listed = AHashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Event::Init => listed.clear(),
                Event::InitApply(summary) => {
                    listed.insert(name(&summary));
                    self.index.shard(target, &name(&summary), Shard::new(&summary));
                }
                Event::InitDone => self.index.shards_listed(target, &std::mem::take(&mut listed)),
                Event::Apply(summary) => self.index.shard(target, &name(&summary), Shard::new(&summary)),
                Event::Delete(summary) => self.index.shard_removed(target, &name(&summary)),
            }
        }
    }

    async fn chaperons(&self, target: &TargetRef, client: Client) {
        let user: Option<Arc<str>> = identity::user_name(&client).await.map(Into::into);
        self.index.identified(target, user.clone());
        let attempt = |chaperon: &PodChaperon| {
            let ours = made_by(chaperon, user.as_deref());
            Attempt::of(chaperon, target, Instant::now()).filter(|_| ours)
        };
        let api = match &target.namespace {
            Some(namespace) => Api::<PodChaperon>::namespaced(client, namespace),
            None => Api::all(client),
        };
        let ours = Config::default().labels(&format!("{}={}", names::PARENT_CLUSTER_NAME, self.cluster));
        let mut events = self.follow("podchaperons", target, api, ours);
        let mut listed = AHashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Event::Init => listed.clear(),
                Event::InitApply(chaperon) | Event::Apply(chaperon) => {
                    let Some((uid, attempt)) = attempt(&chaperon) else {
                        continue;
                    };
                    listed.insert((uid.clone(), attempt.uid.clone()));
                    self.index.attempt(target, &uid, attempt);
                    if self.index.is_uncounted(target, &uid)
                        && let Ok(wanted) = Wanted::of_delegate(&chaperon)
                    {
                        self.index.count(target, &uid, &wanted);
                    }
                }
                Event::InitDone => self.index.attempts_listed(target, &std::mem::take(&mut listed)),
                Event::Delete(chaperon) => {
                    let Some((uid, attempt)) = attempt(&chaperon) else {
                        continue;
                    };
                    self.index.attempt_gone(target, &uid, &attempt.uid);
                }
            }
        }
    }

    /// Watch for ever. The last error stands in the refusals while the target is not known.
    fn follow<K>(
        &self,
        kind: &'static str,
        target: &TargetRef,
        api: Api<K>,
        config: Config,
    ) -> impl Stream<Item = Event<K>> + Unpin
    where
        K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
    {
        let (index, target) = (self.index.clone(), target.clone());
        let node = target.virtual_node();
        Box::pin(
            try_watch((kind, node.as_str()).into(), api, config).filter_map(move |event| {
                let event = event.inspect_err(|error| {
                    tracing::warn!(node = %target.virtual_node(), %error, "watch");
                    index.trouble(&target, trouble(error));
                });
                async move { event.ok() }
            }),
        )
    }
}

impl Runner for Watches {
    fn known(&self, target: &AnyTarget) {
        self.index.known(&target.target);
    }

    async fn run(&self, target: AnyTarget, client: Client, stop: CancellationToken) {
        let own_cluster = matches!(target.access, Access::SelfCluster);
        let target = &target.target;
        tracing::info!(node = %target.virtual_node(), "connected");
        self.index.connected(target, Some(client.clone()));
        self.index.is_own_cluster(target, own_cluster);
        let watches = async {
            tokio::join!(
                self.summary(target, client.clone()),
                self.nodes(target, client.clone()),
                self.chaperons(target, client.clone()),
            )
        };
        // What is known stays until the new lists are there, but a target that is silent takes no pods anyway.
        tokio::select! {
            () = stop.cancelled() => {}
            _ = watches => {}
            () = self.silence(target) => tracing::warn!(node = %target.virtual_node(), "silent; connecting anew"),
        }
    }

    async fn failed(&self, target: AnyTarget, error: ConnectError) {
        tracing::warn!(node = %target.target.virtual_node(), %error, "cannot connect");
        self.index.failed(&target.target, error.to_string());
    }

    async fn removed(&self, target: AnyTarget, _: Option<Client>) {
        tracing::info!(node = %target.target.virtual_node(), "removed");
        self.index.removed(&target.target);
        watches::forget(target.target.virtual_node().as_str());
    }

    async fn synced(&self) {
        self.index.set_all_known();
        self.readiness.set(TARGETS_LISTED, true);
    }
}

fn name(summary: &NodeSummary) -> String {
    summary.metadata.name.clone().unwrap_or_default()
}

/// Short enough for a pod's events, and equal for equal causes: no addresses, no durations.
fn trouble(error: &watcher::Error) -> String {
    let inner = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(status) => return status.reason.clone(),
        watcher::Error::NoResourceVersion => return error.to_string(),
    };
    match inner {
        kube::Error::Api(status) => format!("{} ({})", status.reason, status.code),
        _ => "its API server does not answer".into(),
    }
}
