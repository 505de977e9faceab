//! Carries out what [`super::decide`] says about chaperons and delegates.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::raw::RawPod;
use multicluster_api::{PodChaperon, PodChaperonStatus, fence, names};
use multicluster_runtime::trace::Span;
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::decide::{Action, decide};
use super::delegate_pod::delegate_pod;
use super::fence::{Heartbeats, Silences};
use super::index::{Chaperon, Delegate, Index, Key};
use crate::changes::{Change, changes, key_of};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::queue::{Outcome, Queue};
use crate::troubles::Troubles;
use crate::{api_error, merge};

/// Delegates that are worked on at a time.
const CONCURRENCY: usize = 32;
/// A kubelet (and a scheduler before it) often changes a pod twice in a row: one status tells of both.
const SETTLE: Duration = Duration::from_millis(30);

/// The chaperons and delegates of this cluster.
pub struct Delegates {
    client: Client,
    index: Mutex<Index>,
    queue: Queue<Key>,
    events: Events,
    metrics: Arc<Metrics>,
    troubles: Troubles<Key>,
}

impl Delegates {
    /// Not yet running.
    pub fn new(client: Client, heartbeats: Arc<Heartbeats>, events: Events, metrics: Arc<Metrics>) -> Arc<Self> {
        let index = Index {
            silences: Silences::new(heartbeats),
            ..Index::default()
        };
        Arc::new(Self {
            client,
            index: Mutex::new(index),
            queue: Queue::new(&metrics.queues.delegates),
            events,
            metrics,
            troubles: Troubles::default(),
        })
    }

    /// Work until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let this = self.clone();
        let work = move |key: Key| {
            let this = this.clone();
            async move { this.reconcile(key).await }
        };
        tokio::select! {
            () = self.clone().watch_chaperons() => {}
            () = self.queue.run(CONCURRENCY, stop.clone(), work) => {}
        }
    }

    async fn watch_chaperons(self: Arc<Self>) {
        let api = Api::<PodChaperon>::all(self.client.clone());
        let mut changes = std::pin::pin!(changes("podchaperons".into(), api, Config::default()));
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(object) => {
                    let key = key_of(&object);
                    self.index.lock().put_chaperon(key.clone(), Chaperon::from(object));
                    self.queue.add(key);
                }
                Change::Gone(key) => {
                    self.index.lock().remove_chaperon(&key);
                    self.queue.add(key);
                }
                Change::Listed => {
                    self.index.lock().chaperons_listed = true;
                    self.add_all();
                }
            }
        }
    }

    /// A delegate is new or changed.
    pub fn put_delegate(&self, key: Key, delegate: Delegate) {
        self.index.lock().put_delegate(key.clone(), delegate);
        self.queue.add_after(key, SETTLE);
    }

    /// A pod is gone; most are no delegates.
    pub fn remove_delegate(&self, key: &Key) {
        if self.index.lock().delegates.remove(key).is_some() {
            self.queue.add(key.clone());
        }
    }

    /// All pods that exist are known.
    pub fn pods_listed(&self) {
        self.index.lock().pods_listed = true;
        self.add_all();
    }

    fn add_all(&self) {
        for key in self.index.lock().chaperons.keys() {
            self.queue.add(key.clone());
        }
    }

    async fn reconcile(&self, key: Key) -> Outcome {
        let action = {
            let index = self.index.lock();
            // Before both lists are read, "there is none" may be wrong.
            if !index.chaperons_listed || !index.pods_listed {
                return Outcome::Done;
            }
            let fence = index.fence(&key, Instant::now());
            decide(
                index.chaperons.get(&key),
                index.delegates.get(&key),
                fence,
                Timestamp::now(),
            )
        };
        let result = match action {
            Action::Nothing => {
                self.troubles.over(&key);
                return Outcome::Done;
            }
            Action::Wait(delay) => return Outcome::Again(delay),
            Action::Create => self.create(&key).await,
            Action::Delete { uid } => self.delete(&key, &uid, None).await,
            Action::Fence { uid, grace } => self.fence(&key, &uid, grace).await,
            Action::Status(status) => self.write_status(&key, *status).await,
        };
        match result {
            Ok(()) => {
                self.troubles.over(&key);
                Outcome::Done
            }
            Err(error) => {
                tracing::warn!(namespace = key.0, name = key.1, %error, "delegate");
                self.tell_if_lasting(&key, &error);
                Outcome::Retry
            }
        }
    }

    async fn create(&self, key: &Key) -> Result<(), kube::Error> {
        let whole = self
            .index
            .lock()
            .chaperons
            .get(key)
            .and_then(|chaperon| chaperon.whole.clone());
        let reborn = whole.is_none();
        let chaperon = match whole {
            Some(chaperon) => chaperon,
            // It had a delegate before.
            None => {
                let chaperons = Api::<PodChaperon>::namespaced(self.client.clone(), &key.0);
                let Some(chaperon) = chaperons.get_opt(&key.1).await? else {
                    return Ok(());
                };
                Arc::new(chaperon)
            }
        };
        // Should it be gone by now, the garbage collector removes the delegate of an owner that does not exist.
        if chaperon.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let pods = Api::<RawPod>::namespaced(self.client.clone(), &key.0);
        let traceparent = chaperon.annotations().get(names::TRACEPARENT).map(String::as_str);
        let mut span = Span::child("create delegate", traceparent, Instant::now());
        span.set("k8s.pod.name", &*key.1);
        match pods.create(&PostParams::default(), &delegate_pod(&chaperon)).await {
            Ok(_) => {
                self.metrics.delegates_created.inc();
                if reborn {
                    self.tell_reborn(&chaperon);
                }
                Ok(())
            }
            // Its event is on the way.
            Err(error) if api_error::is_already_exists(&error) => Ok(()),
            Err(error) => {
                span.fail(&error);
                self.refused(&chaperon, &error).await?;
                Err(error)
            }
        }
    }

    fn tell_if_lasting(&self, key: &Key, error: &kube::Error) {
        let known = self
            .index
            .lock()
            .chaperons
            .get(key)
            .map(|chaperon| chaperon.uid.clone());
        if let Some(uid) = known
            && self.troubles.failed(key.clone(), Instant::now())
        {
            let mut object = PodChaperon::new(&key.1, Default::default()).object_ref(&());
            (object.namespace, object.uid) = (Some(key.0.clone()), Some(uid));
            let note = format!("cannot be brought in step with its delegate pod; will go on trying: {error}");
            self.events.warning(object, "SyncFailed", "Sync", note);
        }
    }

    fn tell_reborn(&self, chaperon: &PodChaperon) {
        self.metrics.delegates_reborn.inc();
        let note = "the pod was deleted here and its source has not answered since; it was made again";
        self.events
            .warning(chaperon.object_ref(&()), "DelegateRecreated", "Create", note.into());
    }

    /// The target's admission has said no: the source should know, and try elsewhere.
    async fn refused(&self, chaperon: &PodChaperon, error: &kube::Error) -> Result<(), kube::Error> {
        let Some(message) = api_error::refusal(error) else {
            return Ok(());
        };
        self.metrics.delegates_refused.inc();
        self.events
            .warning(chaperon.object_ref(&()), "DelegateRefused", "Create", message.clone());
        let mut status = chaperon.status.clone().unwrap_or_default();
        status.pod.phase = Some("Pending".into());
        status.pod.conditions = Some(vec![unschedulable(&message)]);
        self.write_status(&key_of(chaperon), status).await
    }

    /// Stop a delegate within the time that its source counts on, whatever this cluster's admission has made of it.
    async fn fence(&self, key: &Key, uid: &str, grace: Duration) -> Result<(), kube::Error> {
        self.delete(key, uid, u32::try_from(grace.as_secs()).ok()).await?;
        tracing::warn!(namespace = key.0, name = key.1, "fenced: its source has fallen silent");
        let delegate = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(key.0.clone()),
            name: Some(key.1.clone()),
            uid: Some(uid.into()),
            ..Default::default()
        };
        let note = "stopped: nothing was heard of the source cluster for longer than the pod's fence".into();
        self.events.warning(delegate, fence::REASON, "Delete", note);
        Ok(())
    }

    async fn delete(&self, key: &Key, uid: &str, grace_seconds: Option<u32>) -> Result<(), kube::Error> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &key.0);
        let preconditions = Preconditions {
            uid: Some(uid.into()),
            ..Default::default()
        };
        let parameters = DeleteParams {
            grace_period_seconds: grace_seconds,
            preconditions: Some(preconditions),
            ..Default::default()
        };
        api_error::ignore_gone(pods.delete(&key.1, &parameters).await)
    }

    async fn write_status(&self, key: &Key, status: PodChaperonStatus) -> Result<(), kube::Error> {
        let Some((uid, old, traceparent)) = self.index.lock().chaperons.get(key).map(|chaperon| {
            let traceparent = chaperon.annotations.get(names::TRACEPARENT).cloned();
            (chaperon.uid.clone(), chaperon.status.clone(), traceparent)
        }) else {
            return Ok(());
        };
        let Some(patch) = merge::diff_of(&old, &status).map_err(kube::Error::SerdeError)? else {
            return Ok(());
        };
        let mut span = Span::child("write chaperon status", traceparent.as_deref(), Instant::now());
        span.set("k8s.pod.phase", status.pod.phase.clone().unwrap_or_default());
        let node = status.delegate.as_ref().map(|delegate| delegate.node_name.clone());
        span.set("k8s.node.name", node.unwrap_or_default());
        let patch = json!({ "metadata": { "uid": uid }, "status": patch });
        let chaperons = Api::<PodChaperon>::namespaced(self.client.clone(), &key.0);
        match chaperons
            .patch_status(&key.1, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(written) => {
                self.metrics.chaperon_statuses.inc();
                self.index.lock().put_chaperon(key.clone(), Chaperon::from(written));
                Ok(())
            }
            Err(error) => {
                span.fail(&error);
                api_error::ignore_gone::<()>(Err(error))
            }
        }
    }
}

fn unschedulable(message: &str) -> k8s_openapi::api::core::v1::PodCondition {
    k8s_openapi::api::core::v1::PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: Some("Unschedulable".into()),
        message: Some(message.into()),
        ..Default::default()
    }
}
