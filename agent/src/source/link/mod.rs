//! The work for one target: its chaperons are followed, and what [`super::decide`] says is carried out.

pub mod call;
mod delegate;
mod echo;
mod follow;
mod gateways;
mod identity;
mod node;
mod reconcile;
mod usage;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use multicluster_api::ClusterSummaryFields;
use multicluster_api::target::AnyTarget;
use multicluster_targets::Upstreams;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use identity::identity;

use super::chaperons::Chaperons;
use super::following::follower::{Facts, Follower};
use super::health::Health;
use super::imports::seat::Seat;
use super::judge::Judge;
use super::keep_node::NodeKeeper;
use super::kubelet::usage::fetch::Fetcher;
use super::kubelet::usage::target::TargetUsage;
use super::left_overs::LeftOvers;
use super::proxy_pods::ProxyPod;
use super::release::Silence;
use super::strays::Strays;
use crate::home::Home;
use crate::metrics::TargetLabel;
use crate::queue::Queue;
use crate::troubles::Troubles;
use crate::uninstall::cleaner::Reached;

/// Pods of one target that are worked on at a time.
const CONCURRENCY: usize = 32;
/// How long a target that was removed may take to give back what is ours.
const WITHDRAWAL: Duration = Duration::from_secs(10);

/// One target, for as long as its Target object exists; connections come and go.
pub struct Link {
    home: Arc<Home>,
    node: String,
    target: RwLock<AnyTarget>,
    /// Its chaperons. Those of the last connection stay known while there is none.
    pub chaperons: Chaperons,
    queue: Queue<String>,
    /// What follows pods there.
    follower: Arc<Follower>,
    /// What is imported there.
    seat: Arc<Seat>,
    keeper: NodeKeeper,
    judge: Mutex<Judge>,
    /// UID of its ClusterSummary, which no two clusters share.
    cluster: Mutex<Option<String>>,
    /// Whether its virtual node was Ready when it first failed to answer this process.
    was_ready: OnceLock<bool>,
    /// The last heartbeat that arrived, over all connections, and when.
    received: Mutex<Option<(Timestamp, Instant)>>,
    began: Instant,
    summary: Mutex<Option<ClusterSummaryFields>>,
    summary_changed: Notify,
    answers: AtomicBool,
    unseen: Mutex<HashMap<String, Instant>>,
    strays: Arc<Strays>,
    /// It was told that the target does not let us delete.
    told_forbidden: AtomicBool,
    /// The cluster that the chaperons are in.
    cluster_id: Mutex<Option<String>>,
    /// The last connection that was known to lead there.
    client: Mutex<Option<Client>>,
    /// The present connection is known to lead there.
    settled: AtomicBool,
    /// Why the target cannot be used: it has become another cluster, and the old one cannot be left.
    moved: Mutex<Option<String>>,
    /// The way there for requests that are passed on.
    way: Mutex<Option<Upstreams>>,
    left_overs: LeftOvers,
    troubles: Troubles<String>,
    /// Pods that were told that they wait for this target, since it is away.
    told_held: Mutex<HashSet<String>>,
    /// What its delegates use.
    usage: TargetUsage,
    fetcher: Fetcher,
}

impl Link {
    /// Not yet connected.
    pub fn new(home: Arc<Home>, target: AnyTarget) -> Arc<Self> {
        let node = target.target.virtual_node().as_str().to_owned();
        let facts = Facts {
            cluster_id: target.status.cluster_id.clone(),
            network: target.network.clone(),
            ..Facts::default()
        };
        let cluster_id = Mutex::new(facts.cluster_id.clone());
        let follower = Follower::new(
            &node,
            target.target.namespace.clone(),
            facts,
            &home.metrics.queues.copies,
        );
        let follower = Arc::new(follower);
        home.following.followers.add(follower.clone());
        let seat = Seat::new(home.clone(), &node);
        let (events, metrics) = (home.events.clone(), home.metrics.clone());
        let keeper = NodeKeeper::new(home.client.clone(), &node, home.endpoint, events, metrics);
        let usage = TargetUsage::new(&node);
        Arc::new(Self {
            node,
            keeper,
            target: RwLock::new(target),
            follower,
            seat,
            chaperons: Chaperons::default(),
            judge: Mutex::new(Judge::new(home.limits, Instant::now())),
            cluster: Mutex::default(),
            was_ready: OnceLock::new(),
            received: Mutex::default(),
            began: Instant::now(),
            queue: Queue::new(&home.metrics.queues.proxy_pods),
            summary: Mutex::default(),
            summary_changed: Notify::new(),
            answers: AtomicBool::new(true),
            unseen: Mutex::default(),
            strays: Arc::default(),
            told_forbidden: AtomicBool::new(false),
            cluster_id,
            client: Mutex::default(),
            settled: AtomicBool::new(false),
            moved: Mutex::default(),
            way: Mutex::default(),
            left_overs: LeftOvers::default(),
            troubles: Troubles::default(),
            told_held: Mutex::default(),
            usage,
            fetcher: Fetcher::default(),
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
        self.judge.lock().connected(Instant::now());
        self.told_forbidden.store(false, Ordering::SeqCst);
        self.settled.store(false, Ordering::SeqCst);
        self.follower.set_watched(false);
        self.follower.learn(|facts| facts.network = target.network.clone());
        self.set_usable();
        let unguarded = client.clone();
        let client = self.home.fence.guard(client);
        self.home.metrics.listening_to(&self.node);
        let this = self.clone();
        let worker = client.clone();
        let work = move |uid: String| {
            let (this, client) = (this.clone(), worker.clone());
            async move { this.reconcile(&client, uid).await }
        };
        // On the heap: in unoptimised builds each layer of futures puts all that it holds onto the stack once more.
        tokio::select! {
            () = Box::pin(self.queue.run(CONCURRENCY, stop.clone(), work)) => {}
            () = Box::pin(self.settle_and_watch(&target, &unguarded, stop.clone())) => {}
            () = Box::pin(self.watch_summary(client.clone())) => {}
            () = Box::pin(self.keep_probing(&client)) => {}
            () = Box::pin(self.keep_node()) => {}
            () = Box::pin(self.renew_lease()) => {}
            () = Box::pin(self.strays.clone().run(self.home.clone(), &self.node, stop)) => {}
            () = Box::pin(self.echo_heartbeats(&client)) => {}
            () = Box::pin(self.watch_gateways(&target, client.clone())) => {}
        }
    }

    async fn settle_and_watch(self: &Arc<Self>, target: &AnyTarget, client: &Client, stop: CancellationToken) {
        self.settle(target, client).await;
        let guarded = self.home.fence.guard(client.clone());
        tokio::select! {
            () = self.watch_chaperons(target, client.clone()) => {}
            () = self.follow(&guarded, stop) => {}
        }
    }

    /// The target cannot be connected.
    pub async fn failed(&self, target: AnyTarget, reason: &'static str, message: String) {
        *self.target.write() = target.clone();
        let health = Health::NotReady { reason, message };
        self.judge.lock().failed(health.clone());
        self.set_serves(Some(false));
        self.home.forget_failure(&self.node);
        let cluster_id = self.cluster_id.lock().clone();
        if let Err(error) = self.keeper.keep(&target, None, &health, cluster_id.as_deref()).await {
            tracing::warn!(node = self.node, %error, "virtual node");
        }
    }

    /// The target with the last connection to it, if there was one.
    pub fn reached(&self) -> Option<Reached> {
        let client = self.client.lock().clone()?;
        let target = self.target.read().target.clone();
        Some(Reached { target, client })
    }

    /// Does a change of this pod concern this target?
    pub fn concerns(&self, pod: &ProxyPod) -> bool {
        pod.whereabouts() == self.node || self.chaperons.get(&pod.uid, &pod.namespace).is_some()
    }

    /// Since when the target has not been heard of, and what it was told about this pod's fence.
    pub fn silence(&self, pod: &ProxyPod) -> Silence {
        Silence {
            out_of_service: self.home.out_of_service.contains(&self.node),
            since: self.received.lock().map_or(self.began, |(_, at)| at),
            chaperon: self
                .chaperons
                .get(&pod.uid, &pod.namespace)
                .map(|chaperon| chaperon.fence),
        }
    }

    fn count_deleted(&self, chaperons: u64) {
        let label = TargetLabel::new(&self.node);
        self.home
            .metrics
            .chaperons_deleted
            .get_or_create(&label)
            .inc_by(chaperons);
    }

    /// The Target is gone: what it had there should go too, as far as the cluster can still be reached. `client` is the
    /// last connection; it may lead to another cluster than the one before.
    pub async fn remove(&self, client: Option<Client>) {
        self.home.forget_failure(&self.node);
        // At first: of two targets that go together, one takes along what is there for both.
        self.stop_following();
        self.home.gateways.forget(&self.node);
        let target = self.target.read().target.clone();
        let unsettled = client.filter(|_| !self.settled.load(Ordering::SeqCst));
        let settled = self
            .client
            .lock()
            .clone()
            .map(|client| (client, self.cluster_id.lock().clone()));
        let unsettled = unsettled.map(|client| (client, None));
        for (client, cluster) in settled.into_iter().chain(unsettled) {
            let client = self.home.fence.guard(client);
            let cluster = match cluster {
                None => identity(&client).await.ok().flatten().flatten(),
                known => known,
            };
            match self.take_back(&client, &target, cluster.as_deref()).await {
                Ok(deleted) => self.count_deleted(deleted as u64),
                Err(error) => {
                    tracing::warn!(node = self.node, %error, "the target was removed; pods may be left there")
                }
            }
        }
        if let Err(error) = self.keeper.remove().await {
            tracing::warn!(node = self.node, %error, "removing the virtual node");
        }
    }
}
