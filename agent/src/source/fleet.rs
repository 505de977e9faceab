//! The work for all targets, and for proxy pods that belong to none.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt};
use multicluster_api::names;
use multicluster_api::target::AnyTarget;
use multicluster_api::view::PodView;
use multicluster_api::virtual_node::NODE_PREFIX;
use multicluster_targets::{ConnectError, Runner, Upstreams};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::following::facts::PodFacts;
use super::imports::facts;
use super::keep_node::NodeKeeper;
use super::link::Link;
use super::proxy_pods::ProxyPod;
use super::release::{Release, release};
use crate::changes::{Change, changes};
use crate::home::Home;
use crate::queue::Outcome;
use crate::uninstall::cleaner::Reached;

/// Proxy pods without a target that are worked on at a time.
const CONCURRENCY: usize = 8;

/// All targets.
pub struct Fleet {
    home: Arc<Home>,
    /// By the name of their virtual node.
    links: RwLock<HashMap<String, Arc<Link>>>,
    /// All targets that exist are known.
    synced: AtomicBool,
    on_synced: Box<dyn Fn() + Send + Sync>,
}

impl Fleet {
    /// No targets yet. `on_synced` is called once, when all are known.
    pub fn new(home: Arc<Home>, on_synced: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            home,
            links: RwLock::default(),
            synced: AtomicBool::new(false),
            on_synced: Box::new(on_synced),
        })
    }

    /// All targets that were ever connected, with their last connections.
    pub fn reached(&self) -> Vec<Reached> {
        self.links.read().values().filter_map(|link| link.reached()).collect()
    }

    /// Names of the virtual nodes.
    pub fn node_names(&self) -> Vec<String> {
        self.links.read().keys().cloned().collect()
    }

    /// The target behind a virtual node.
    pub fn link_of(&self, node: &str) -> Option<Arc<Link>> {
        self.links.read().get(node).cloned()
    }

    /// The source cluster.
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    fn link(&self, target: &AnyTarget) -> Arc<Link> {
        let node = target.target.virtual_node().as_str().to_owned();
        let new = || Link::new(self.home.clone(), target.clone());
        self.links.write().entry(node).or_insert_with(new).clone()
    }

    /// Follow the proxy pods, and see to those that belong to no target, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let this = self.clone();
        let work = move |uid: String| {
            let this = this.clone();
            async move { this.reconcile(uid).await }
        };
        tokio::select! {
            () = self.watch_pods() => {}
            () = self.watch_nodes() => {}
            () = self.home.queue.run(CONCURRENCY, stop, work) => {}
        }
    }

    async fn watch_pods(&self) {
        let proxy_pods = Config::default().labels(&format!("{}=true", names::HAS_FINALIZER));
        let api = Api::<PodView>::all(self.home.client.clone());
        let mut changes = std::pin::pin!(changes("pods".into(), api, proxy_pods));
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(pod) => {
                    let facts = PodFacts::of(&pod);
                    let pod = ProxyPod::from(pod);
                    let before = self.home.pods.get(&pod.uid);
                    if let Some(replaced) = self.home.pods.put(pod.clone()) {
                        self.dispatch_gone(&replaced);
                    }
                    self.home.following.put_pod(facts);
                    facts::pod_changed(&self.home, before.as_deref(), &pod);
                    self.dispatch(&pod);
                }
                Change::Gone(key) => {
                    if let Some(uid) = self.home.pods.remove(&key) {
                        self.dispatch_gone(&uid);
                    }
                }
                Change::Listed => {
                    self.home.pods.set_listed();
                    self.home.following.set_pods_listed();
                    self.add_all();
                }
            }
        }
    }

    async fn watch_nodes(&self) {
        let ours = Config::default().labels(&format!("{}={}", names::PROVIDER, names::PROVIDER_VALUE));
        let api = Api::<Node>::all(self.home.client.clone());
        let mut changes = std::pin::pin!(changes("nodes".into(), api, ours));
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(node) if self.home.out_of_service.put(&node) => {
                    tracing::warn!(node = node.name_any(), "out of service: pods that wait for it may go");
                    self.home
                        .pods
                        .uids()
                        .into_iter()
                        .for_each(|uid| self.home.queue.add(uid));
                }
                Change::Gone((_, name)) => self.home.out_of_service.remove(&name),
                Change::Put(_) | Change::Listed => {}
            }
        }
    }

    fn dispatch(&self, pod: &ProxyPod) {
        let links = self.links.read();
        for link in links.values().filter(|link| link.concerns(pod)) {
            link.place(pod);
            link.add(pod.uid.clone());
        }
        let homeless = !pod.node_name.is_empty() && !links.contains_key(&pod.node_name);
        if homeless || (pod.deleting && pod.is_held()) {
            self.home.queue.add(pod.uid.clone());
        }
    }

    fn dispatch_gone(&self, uid: &str) {
        self.home.following.remove_pod(uid);
        for link in self.links.read().values() {
            link.chaperons.forget(uid);
            if !link.chaperons.all_of(uid).is_empty() {
                link.add(uid.to_owned());
            }
        }
    }

    fn add_all(&self) {
        for uid in self.home.pods.uids() {
            self.home.queue.add(uid);
        }
        for link in self.links.read().values() {
            link.add_all();
        }
    }

    /// A proxy pod that is bound to no known target (it was never bound, or its Target is gone), or one that waits for a
    /// target that does not answer.
    async fn reconcile(&self, uid: String) -> Outcome {
        if !self.synced.load(Ordering::SeqCst) || !self.home.pods.is_listed() {
            return Outcome::Done;
        }
        let Some(pod) = self.home.pods.get(&uid) else {
            return Outcome::Done;
        };
        let result = match self.homeless(&pod) {
            Homeless::No => return self.let_go(&pod).await,
            Homeless::Delete => {
                let note = format!("{} stands for no target any more, so this pod goes", pod.node_name);
                self.home
                    .events
                    .warning(pod.reference(), "TargetRemoved", "Delete", note);
                self.home.delete_pod(&pod).await
            }
            Homeless::Release => self.home.remove_finalizer(&pod).await,
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(error) => {
                tracing::warn!(namespace = pod.namespace, pod = pod.name, %error, "proxy pod without a target");
                Outcome::Retry
            }
        }
    }

    /// A pod that was deleted waits for its target to say that the delegate is gone, unless that is certain otherwise.
    async fn let_go(&self, pod: &ProxyPod) -> Outcome {
        let link = self.links.read().get(pod.whereabouts()).cloned();
        let Some(link) = link else {
            return Outcome::Done;
        };
        let reason = match release(pod, &link.silence(pod), Instant::now()) {
            Release::Wait => return Outcome::Done,
            Release::After(left) => return Outcome::Again(left),
            Release::Now(reason) => reason,
        };
        match self.home.remove_finalizer(pod).await {
            Ok(()) => {
                let note = format!("released without a word of {}: {reason}", pod.whereabouts());
                self.home.events.warning(pod.reference(), "Released", "Delete", note);
                Outcome::Done
            }
            Err(error) => {
                tracing::warn!(namespace = pod.namespace, pod = pod.name, %error, "letting go of a proxy pod");
                Outcome::Retry
            }
        }
    }

    fn homeless(&self, pod: &ProxyPod) -> Homeless {
        let links = self.links.read();
        let bound = !pod.node_name.is_empty();
        if links.contains_key(&pod.node_name) || (bound && !pod.node_name.starts_with(NODE_PREFIX)) {
            return Homeless::No;
        }
        // A delegate may still run where an attempt to bind the pod has begun.
        let attempted = links
            .values()
            .any(|link| link.chaperons.get(&pod.uid, &pod.namespace).is_some());
        // Or may come to run: its target is asked first.
        let attempted = attempted || links.contains_key(pod.whereabouts());
        match (pod.deleting, bound) {
            (true, _) if attempted => Homeless::No,
            (true, _) => Homeless::Release,
            // Its controller makes another one, for the targets that are left.
            (false, true) => Homeless::Delete,
            (false, false) => Homeless::No,
        }
    }

    /// Remove the nodes of targets that went while no agent was running.
    async fn sweep_nodes(&self) -> Result<(), kube::Error> {
        let ours = ListParams::default().labels(&format!("{}={}", names::PROVIDER, names::PROVIDER_VALUE));
        for node in Api::<Node>::all(self.home.client.clone()).list_metadata(&ours).await? {
            let name = node.name_any();
            if name.starts_with(NODE_PREFIX) && !self.links.read().contains_key(&name) {
                let (events, metrics) = (self.home.events.clone(), self.home.metrics.clone());
                NodeKeeper::new(self.home.client.clone(), &name, None, events, metrics)
                    .remove()
                    .await?;
            }
        }
        Ok(())
    }
}

/// What to do about a proxy pod that may belong to no target.
enum Homeless {
    No,
    Delete,
    Release,
}

impl Runner for Fleet {
    fn known(&self, target: &AnyTarget) {
        self.link(target);
    }

    fn reachable(&self, target: &AnyTarget, way: Option<Upstreams>) {
        self.link(target).set_way(way);
    }

    async fn run(&self, target: AnyTarget, client: Client, stop: CancellationToken) {
        // On the heap: what waits for it is many calls deep, and a worker's stack is 2 MiB.
        Box::pin(self.link(&target).run(target, client, stop)).await;
    }

    async fn failed(&self, target: AnyTarget, error: ConnectError) {
        tracing::warn!(node = %target.target.virtual_node(), %error, "target");
        self.link(&target)
            .failed(target, error.reason(), error.to_string())
            .await;
    }

    async fn removed(&self, target: AnyTarget, client: Option<Client>) {
        let node = target.target.virtual_node();
        let link = self.links.read().get(node.as_str()).cloned();
        if let Some(link) = link {
            // Its pods count as homeless, and lose their finalizer, only after their delegates had time to go.
            Box::pin(link.remove(client)).await;
            self.links.write().remove(node.as_str());
        }
        self.add_all();
    }

    async fn synced(&self) {
        self.synced.store(true, Ordering::SeqCst);
        self.home.following.set_targets_listed();
        (self.on_synced)();
        if let Err(error) = self.sweep_nodes().await {
            tracing::warn!(%error, "sweeping virtual nodes");
        }
        self.add_all();
    }
}
