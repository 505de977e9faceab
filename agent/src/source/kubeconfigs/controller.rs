//! Watches Kubeconfigs and their Secrets, and does for each what is to be done.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt};
use multicluster_api::{Kubeconfig, names};
use multicluster_targets::watching;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::held::{Version, owner, version};
use super::request::Requests;
use super::work::State;
use crate::api_error;
use crate::changes::{Change, Glimpse, Key, glimpses, key_of};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::queue::{Outcome, Queue};
use crate::source::link::call::CallError;

/// Kubeconfigs that are worked on at a time.
const CONCURRENCY: usize = 16;
/// How often each is looked at, whatever happens: what is not watched changes, too.
const RECHECK: Duration = Duration::from_secs(600);
/// How often to look for requests that nobody waits for.
const SWEEP: Duration = Duration::from_secs(600);

/// Keeps Kubeconfigs' Secrets.
pub struct Kubeconfigs {
    pub(super) client: Client,
    pub(super) events: Events,
    pub(super) metrics: Arc<Metrics>,
    pub(super) requests: Requests,
    queue: Queue<Key>,
    objects: Mutex<HashMap<Key, Arc<Kubeconfig>>>,
    /// Secrets of Kubeconfigs, and the UIDs of these.
    secrets: Mutex<HashMap<Key, (String, Version)>>,
    states: Mutex<HashMap<Key, State>>,
    /// Names of requests whose keys are known here.
    pub(super) in_use: Mutex<HashSet<String>>,
}

impl Kubeconfigs {
    /// For the source cluster of this client.
    pub fn new(client: Client, events: Events, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            requests: Requests::new(client.clone()),
            queue: Queue::new(&metrics.queues.kubeconfigs),
            client,
            events,
            metrics,
            objects: Mutex::default(),
            secrets: Mutex::default(),
            states: Mutex::default(),
            in_use: Mutex::default(),
        })
    }

    /// Work until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let this = self.clone();
        let work = move |key: Key| {
            let this = this.clone();
            async move { this.look(&key).await }
        };
        tokio::select! {
            () = self.queue.run(CONCURRENCY, stop, work) => {}
            () = self.follow_kubeconfigs() => {}
            () = self.follow_secrets() => {}
            () = self.sweep() => {}
        }
    }

    async fn follow_kubeconfigs(&self) {
        let api = Api::<Kubeconfig>::all(self.client.clone());
        let mut glimpses = std::pin::pin!(glimpses("kubeconfigs".into(), api, Config::default()));
        while let Some(glimpse) = glimpses.next().await {
            match glimpse {
                Glimpse::Change(Change::Put(object)) => {
                    let key = key_of(&object);
                    let is_news = |old: &Arc<Kubeconfig>| asks(old) != asks(&object);
                    let news = self.objects.lock().get(&key).is_none_or(is_news);
                    self.objects.lock().insert(key.clone(), Arc::new(object));
                    if news {
                        self.queue.add(key);
                    }
                }
                Glimpse::Change(Change::Gone(key)) => {
                    self.objects.lock().remove(&key);
                    self.queue.add(key);
                }
                Glimpse::Change(Change::Listed) | Glimpse::Barred(_) => {}
            }
        }
    }

    async fn follow_secrets(&self) {
        let api = Api::<Secret>::all(self.client.clone());
        let config = Config::default().fields(&format!("type={}", names::KUBECONFIG_SECRET));
        let mut glimpses = std::pin::pin!(glimpses("secrets".into(), api, config));
        while let Some(glimpse) = glimpses.next().await {
            let (key, now) = match glimpse {
                Glimpse::Change(Change::Put(secret)) => (
                    key_of(&secret),
                    owner(&secret).map(|owner| (owner.uid.clone(), version(&secret))),
                ),
                Glimpse::Change(Change::Gone(key)) => (key, None),
                Glimpse::Change(Change::Listed) | Glimpse::Barred(_) => continue,
            };
            let before = {
                let mut secrets = self.secrets.lock();
                match &now {
                    Some(now) => secrets.insert(key.clone(), now.clone()),
                    None => secrets.remove(&key),
                }
            };
            let uids = [before, now].into_iter().flatten().map(|(uid, _)| uid);
            self.touch(&key, &uids.collect::<Vec<_>>());
        }
    }

    /// A Secret has changed: whose it is, and who wants it, should know.
    fn touch(&self, (namespace, name): &Key, owners: &[String]) {
        let concerned = |object: &Kubeconfig| {
            let here = object.namespace().as_ref() == Some(namespace);
            here && (object.spec.secret_name == *name || object.uid().is_some_and(|uid| owners.contains(&uid)))
        };
        let objects = self.objects.lock();
        let concerned = objects.iter().filter(|(_, object)| concerned(object));
        concerned.for_each(|(key, _)| self.queue.add(key.clone()));
    }

    /// Secrets that this Kubeconfig has had under other names.
    pub(super) fn former(&self, object: &Kubeconfig) -> Vec<(String, Version)> {
        let (uid, in_) = (object.uid().unwrap_or_default(), object.namespace().unwrap_or_default());
        let secrets = self.secrets.lock();
        let former = secrets.iter().filter(|((namespace, name), (owner, _))| {
            *namespace == in_ && *owner == uid && *name != object.spec.secret_name
        });
        former
            .map(|((_, name), (_, version))| (name.clone(), version.clone()))
            .collect()
    }

    async fn look(&self, key: &Key) -> Outcome {
        let object = self.objects.lock().get(key).cloned();
        let mut state = self.states.lock().remove(key).unwrap_or_default();
        let Some(object) = object.filter(|object| object.metadata.deletion_timestamp.is_none()) else {
            self.drop_request(&mut state).await;
            self.metrics.forget_kubeconfig(&key.0, &key.1);
            return Outcome::Done;
        };
        let next = self.work(&object, &mut state).await;
        self.states.lock().insert(key.clone(), state);
        Outcome::Again(next.min(RECHECK))
    }

    /// Requests whose keys nobody knows are worth nothing.
    async fn sweep(&self) {
        let mut told = false;
        loop {
            let in_use = |name: &str| self.in_use.lock().contains(name);
            let pause = match self.requests.sweep(in_use).await {
                Ok(()) => SWEEP,
                // Without cert-manager there are none.
                Err(CallError::Kube(error)) if api_error::is_not_found(&error) => SWEEP,
                Err(CallError::Kube(error)) if api_error::is_denied(&error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "certificate requests that nobody waits for are left");
                    }
                    SWEEP
                }
                Err(error) => {
                    tracing::debug!(%error, "certificate requests that nobody waits for");
                    watching::MAX_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// All that a Kubeconfig asks for, and whose it is.
fn asks(object: &Kubeconfig) -> (Option<&str>, &multicluster_api::KubeconfigSpec, Option<&String>, bool) {
    let metadata = &object.metadata;
    let renew = metadata.annotations.as_ref().and_then(|all| all.get(names::RENEW));
    (
        metadata.uid.as_deref(),
        &object.spec,
        renew,
        metadata.deletion_timestamp.is_some(),
    )
}

/// The time until then, as the queue counts it.
pub(super) fn until(then: Timestamp, now: Timestamp) -> Duration {
    then.duration_since(now).try_into().unwrap_or_default()
}

#[cfg(test)]
#[path = "tests/world.rs"]
mod world;

#[cfg(test)]
#[path = "tests/controller.rs"]
mod tests;
