//! The work for one target: its chaperons are followed, and what [`super::decide`] says is carried out.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use multicluster_api::chaperon::chaperon_name;
use multicluster_api::target::AnyTarget;
use multicluster_api::{ClusterSummary, ClusterSummaryFields, PodChaperon, names};
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::chaperons::{Chaperons, RemoteChaperon};
use super::decide::{Action, Missing, View, decide};
use super::health::{Health, Heartbeats, Probe};
use super::keep_node::{LEASE_PERIOD, NodeKeeper};
use super::proxy_pods::ProxyPod;
use super::status::{proxy_status, shows};
use super::virtual_node::Wanted;
use crate::api_error;
use crate::follow::{Change, follow, key_of};
use crate::home::Home;
use crate::merge;
use crate::metrics::TargetLabel;
use crate::queue::{Outcome, Queue};

/// Pods of one target that are worked on at a time.
const CONCURRENCY: usize = 32;
/// How long one call to a target may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a bound pod's chaperon may stay unseen before the target is asked for it: watches lag.
const UNSEEN_GRACE: Duration = Duration::from_secs(1);
/// How often a target's health is looked at.
const HEALTH_PERIOD: Duration = Duration::from_millis(500);

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
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("no answer within {} s", CALL_TIMEOUT.as_secs())]
    Timeout,
}

async fn call<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, request).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(CallError::Timeout),
    }
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
            home,
        })
    }

    /// Name of the virtual node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Look at this pod.
    pub fn add(&self, uid: String) {
        self.queue.add(uid);
    }

    /// Serve the connected target until `stop`.
    pub async fn run(self: &Arc<Self>, target: AnyTarget, client: Client, stop: CancellationToken) {
        *self.target.write() = target.clone();
        *self.heartbeats.lock() = Heartbeats::new(Instant::now());
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

    async fn watch_chaperons(&self, target: &AnyTarget, client: Client) {
        let api = match &target.target.namespace {
            Some(namespace) => Api::<PodChaperon>::namespaced(client, namespace),
            None => Api::<PodChaperon>::all(client),
        };
        let ours = format!("{}={}", names::PARENT_CLUSTER_NAME, self.home.cluster_name);
        let mut changes = std::pin::pin!(follow("podchaperons", api, Config::default().labels(&ours)));
        // What an earlier connection has seen and this one does not see went in between.
        let mut unseen: Option<HashSet<String>> = Some(self.chaperons.parents().into_iter().collect());
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(object) => {
                    if let Some(parent) = self.chaperons.put(&object, &self.node) {
                        unseen.as_mut().map(|unseen| unseen.remove(&parent));
                        self.queue.add(parent);
                    }
                }
                Change::Gone(key) => self.gone(&key),
                Change::Listed => {
                    for parent in unseen.take().unwrap_or_default() {
                        if let Some(chaperon) = self.chaperons.get(&parent) {
                            self.gone(&chaperon.key);
                        }
                    }
                    self.chaperons.set_listed();
                    self.add_all();
                }
            }
        }
    }

    fn gone(&self, key: &crate::follow::Key) {
        if let Some(parent) = self.chaperons.remove(key) {
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

    async fn watch_summary(&self, client: Client) {
        let fields = format!("metadata.name={}", names::CLUSTER_SUMMARY);
        let api = Api::<ClusterSummary>::all(client);
        let mut changes = std::pin::pin!(follow("clustersummaries", api, Config::default().fields(&fields)));
        while let Some(change) = changes.next().await {
            if let Change::Put(summary) = change {
                let heartbeat = summary.spec.heartbeat_time.as_ref().map(|time| time.0);
                self.heartbeats.lock().see(heartbeat, Instant::now());
                *self.summary.lock() = Some(summary.spec);
                self.summary_changed.notify_one();
            }
        }
    }

    async fn keep_node(&self, client: &Client) {
        let mut shown: Option<(Option<Wanted>, Health)> = None;
        let mut checked = Instant::now();
        loop {
            let health = self.health(client).await;
            let wanted = self.wanted();
            let current = (wanted, health);
            // Also when nothing changed here, somebody may have changed the node.
            let due = shown.as_ref() != Some(&current) || checked.elapsed() > LEASE_PERIOD;
            if due && current.1 != Health::Unknown {
                let target = self.target.read().clone();
                match self.keeper.keep(&target, current.0.as_ref(), &current.1).await {
                    Ok(()) => {
                        checked = Instant::now();
                        self.set_healthy(current.1 == Health::Ready);
                        shown = Some(current);
                    }
                    Err(error) => tracing::warn!(node = self.node, %error, "virtual node"),
                }
            }
            tokio::select! { () = self.summary_changed.notified() => {}, () = tokio::time::sleep(HEALTH_PERIOD) => {} }
        }
    }

    fn set_healthy(&self, healthy: bool) {
        if self.healthy.swap(healthy, Ordering::SeqCst) != healthy && healthy {
            self.add_all();
        }
    }

    fn wanted(&self) -> Option<Wanted> {
        let target = self.target.read();
        let excluded = target
            .excluded_labels_regexp
            .as_deref()
            .map(multicluster_api::options::compile_regexp);
        let excluded = match excluded.transpose() {
            Ok(excluded) => excluded,
            Err(error) => {
                tracing::warn!(node = self.node, error, "excludedLabelsRegexp");
                return None;
            }
        };
        self.summary
            .lock()
            .as_ref()
            .map(|summary| Wanted::new(&target.target, summary, excluded.as_ref()))
    }

    async fn health(&self, client: &Client) -> Health {
        let stale_after = self.home.stale_after;
        let fresh = self.heartbeats.lock().fresh(Instant::now(), stale_after);
        match fresh {
            Some(true) => Health::Ready,
            None => Health::Unknown,
            Some(false) => probe(client).await.explain(stale_after),
        }
    }

    async fn renew_lease(&self) {
        let mut ticks = tokio::time::interval(LEASE_PERIOD);
        loop {
            ticks.tick().await;
            if let Err(error) = self.keeper.renew_lease().await {
                tracing::warn!(node = self.node, %error, "renewing the node's Lease");
            }
        }
    }

    async fn reconcile(&self, client: &Client, uid: String) -> Outcome {
        if !self.home.pods.is_listed() || !self.chaperons.is_listed() {
            return Outcome::Done;
        }
        let (pod, chaperon) = (self.home.pods.get(&uid), self.chaperons.get(&uid));
        let view = View {
            node: &self.node,
            pod: pod.as_deref(),
            chaperon: chaperon.as_ref(),
            seen_going: self.chaperons.was_seen_going(&uid),
        };
        let action = decide(view);
        if !matches!(action, Action::Confirm(_)) {
            self.unseen.lock().remove(&uid);
        }
        let result = match (action, pod, chaperon) {
            (Action::SyncStatus, Some(pod), Some(chaperon)) => self.sync(&pod, &chaperon).await,
            (Action::DeletePod, Some(pod), _) => self.delete_pod(&pod).await,
            (Action::RemoveFinalizer, Some(pod), _) => self.home.remove_finalizer(&pod).await.map_err(Into::into),
            // A target that does not answer is left alone until it does; then all is looked at anew.
            (action, _, _) if action != Action::Nothing && !self.healthy.load(Ordering::SeqCst) => Ok(()),
            (Action::Confirm(missing), Some(pod), _) => match self.wait_for_watch(&pod, missing) {
                Some(left) => return Outcome::Again(left),
                None => self.confirm(client, &pod, missing).await,
            },
            (Action::ConfirmOrphan, _, Some(chaperon)) => self.confirm_orphan(client, &uid, &chaperon).await,
            (Action::DeleteChaperon, _, Some(chaperon)) => self.delete_chaperon(client, &chaperon).await,
            _ => Ok(()),
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(error) => {
                tracing::warn!(node = self.node, pod = uid, %error, "proxy pod");
                Outcome::Retry
            }
        }
    }

    /// How long to wait for the watch before a bound pod's chaperon is asked for.
    fn wait_for_watch(&self, pod: &ProxyPod, missing: Missing) -> Option<Duration> {
        if missing == Missing::RemoveFinalizer {
            return None;
        }
        let since = *self.unseen.lock().entry(pod.uid.clone()).or_insert_with(Instant::now);
        UNSEEN_GRACE.checked_sub(since.elapsed())
    }

    async fn confirm(&self, client: &Client, pod: &ProxyPod, missing: Missing) -> Result<(), CallError> {
        let api = Api::<PodChaperon>::namespaced(client.clone(), &pod.namespace);
        if let Some(found) = call(api.get_opt(&chaperon_name(&pod.name, &pod.uid))).await? {
            // The watch will bring it again; until then this is as good.
            if self.chaperons.put(&found, &self.node).is_some() {
                self.queue.add(pod.uid.clone());
                return Ok(());
            }
        }
        self.unseen.lock().remove(&pod.uid);
        match missing {
            Missing::DeletePod => self.delete_pod(pod).await,
            Missing::RemoveFinalizer => Ok(self.home.remove_finalizer(pod).await?),
        }
    }

    async fn confirm_orphan(&self, client: &Client, uid: &str, chaperon: &RemoteChaperon) -> Result<(), CallError> {
        let pods = Api::<Pod>::namespaced(self.home.client.clone(), &chaperon.key.0);
        let pod = pods.get_opt(&chaperon.parent_name).await?;
        if pod.is_some_and(|pod| pod.metadata.uid.as_deref() == Some(uid)) {
            return Ok(());
        }
        self.delete_chaperon(client, chaperon).await
    }

    /// Delete a chaperon; the target's garbage collector takes the delegate with it, and the chaperon goes last.
    async fn delete_chaperon(&self, client: &Client, chaperon: &RemoteChaperon) -> Result<(), CallError> {
        let api = Api::<PodChaperon>::namespaced(client.clone(), &chaperon.key.0);
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(Preconditions {
                uid: Some(chaperon.uid.clone()),
                ..Default::default()
            }),
            ..Default::default()
        };
        match call(api.delete(&chaperon.key.1, &parameters)).await {
            Err(CallError::Kube(error)) => Ok(api_error::ignore_gone(Err::<(), _>(error))?),
            Err(error) => Err(error),
            Ok(_) => {
                self.home
                    .metrics
                    .chaperons_deleted
                    .get_or_create(&TargetLabel {
                        node: self.node.clone(),
                    })
                    .inc();
                Ok(())
            }
        }
    }

    async fn delete_pod(&self, pod: &ProxyPod) -> Result<(), CallError> {
        let note = format!("the delegate in {} is gone", self.target.read().target);
        self.home
            .events
            .warning(pod_reference(pod), "DelegateGone", "Delete", note);
        Ok(self.home.delete_pod(pod).await?)
    }

    async fn sync(&self, pod: &ProxyPod, chaperon: &RemoteChaperon) -> Result<(), CallError> {
        // Before the delegate exists there is nothing to show.
        let Some(delegate) = &chaperon.status.delegate else {
            return Ok(());
        };
        let wanted = proxy_status(pod, &chaperon.status.pod);
        let pods = Api::<Pod>::namespaced(self.home.client.clone(), &pod.namespace);
        let params = PatchParams::default();
        if !shows(pod, &wanted)
            && let Some(patch) = merge::diff_of(&pod.status, &wanted).map_err(kube::Error::SerdeError)?
        {
            let patch = Patch::Merge(json!({ "metadata": { "uid": pod.uid }, "status": patch }));
            match pods.patch_status(&pod.name, &params, &patch).await {
                Ok(written) => {
                    self.home.metrics.proxy_statuses.inc();
                    self.home.pods.put(ProxyPod::from(&written));
                }
                Err(error) => api_error::ignore_gone(Err::<(), _>(error))?,
            }
        }
        let changed: serde_json::Map<_, _> = delegate
            .annotations
            .iter()
            .filter(|(key, value)| pod.annotations.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        if !changed.is_empty() {
            let patch = Patch::Merge(json!({ "metadata": { "uid": pod.uid, "annotations": changed } }));
            api_error::ignore_gone(pods.patch(&pod.name, &params, &patch).await)?;
        }
        Ok(())
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

/// Ask the target itself why no heartbeat comes.
async fn probe(client: &Client) -> Probe {
    const PROBE_TIMEOUT: Duration = Duration::from_millis(1500);
    let api = Api::<ClusterSummary>::all(client.clone());
    match tokio::time::timeout(PROBE_TIMEOUT, api.get_opt(names::CLUSTER_SUMMARY)).await {
        Ok(Ok(Some(_))) => Probe::Answered,
        Ok(Ok(None)) => Probe::NoSummary,
        Ok(Err(error)) if api_error::is_denied(&error) => Probe::Denied(error.to_string()),
        Ok(Err(error)) if api_error::is_not_found(&error) => Probe::NoSummary,
        Ok(Err(error)) => Probe::Unreachable(error.to_string()),
        Err(_) => Probe::Unreachable(format!("no answer within {} ms", PROBE_TIMEOUT.as_millis())),
    }
}

fn pod_reference(pod: &ProxyPod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: Some(pod.namespace.clone()),
        name: Some(pod.name.clone()),
        uid: Some(pod.uid.clone()),
        ..Default::default()
    }
}

impl Link {
    /// The key that a change of this pod concerns.
    pub fn concerns(&self, pod: &ProxyPod) -> bool {
        pod.node_name == self.node || self.chaperons.get(&pod.uid).is_some()
    }
}

/// The key of a pod, for removal.
pub fn pod_key(pod: &Pod) -> crate::follow::Key {
    key_of(pod)
}
