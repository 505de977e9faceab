//! One cluster that imports what is exported: a target, or the source itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use multicluster_api::names;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::bring::{Known, Place, Unfinished};
use super::clusters::{Cluster, Clusters};
use super::conditions::Progress;
use super::exports::reference;
use super::facts::pods_behind;
use super::there::There;
use super::wanted::Exported;
use crate::changes::{Bar, Change, Glimpse, Key, glimpses};
use crate::home::Home;
use crate::queue::{Outcome, Queue};
use crate::source::following::copy::Context;
use crate::source::following::listing::Listing;
use crate::source::following::object::{Kind, ObjectKey};
use crate::source::following::refusal::{Refusal, forbidden};

/// Exports of one cluster that are worked on at a time.
const CONCURRENCY: usize = 4;
/// How often to look whether nothing is left to do.
const REST: Duration = Duration::from_secs(5);

/// One cluster, for as long as its Target exists.
pub struct Seat {
    home: Arc<Home>,
    /// The virtual node; empty for the source.
    node: Arc<str>,
    queue: Queue<Key>,
    there: There,
    /// What was told of an export last.
    told: Mutex<HashMap<Key, Refusal>>,
}

/// A connection to the cluster.
#[derive(Clone)]
pub struct Connection {
    /// A client for it.
    pub client: Client,
    /// The only namespace that is served, if it is not all of them.
    pub namespace: Option<String>,
    /// The user that it knows us as.
    pub user: Option<String>,
}

impl Seat {
    /// Of the cluster behind a virtual node, or of the source, where that is empty.
    pub fn new(home: Arc<Home>, node: &str) -> Arc<Self> {
        let seat = Arc::new(Self {
            queue: Queue::new(&home.imports.metrics),
            node: node.into(),
            there: There::default(),
            told: Mutex::default(),
            home: home.clone(),
        });
        home.imports.add_seat(&seat);
        seat
    }

    /// Look at this export, after a while.
    pub fn add(&self, key: Key, delay: Duration) {
        self.queue.add_after(key, delay);
    }

    /// Look at everything.
    pub fn add_all(&self) {
        let exports = self.home.imports.exports.keys();
        exports
            .into_iter()
            .chain(self.there.exports())
            .for_each(|key| self.queue.add(key));
    }

    /// Bring the cluster into step, until `stop`. While nothing is exported, and nothing is left there, nothing is watched.
    pub async fn run(self: &Arc<Self>, connection: Connection, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.there.restart();
            let (this, to) = (self.clone(), connection.clone());
            let work = move |key: Key| {
                let (this, to) = (this.clone(), to.clone());
                async move { this.reconcile(&to, key).await }
            };
            tokio::select! {
                () = self.queue.run(CONCURRENCY, stop.clone(), work) => {}
                () = self.watch(&connection, Kind::ServiceImport, "serviceimports") => {}
                () = self.watch(&connection, Kind::Service, "services of imports") => {}
                () = self.watch(&connection, Kind::EndpointSlice, "endpointslices of imports") => {}
                () = self.until_idle() => {}
            }
            tokio::select! { () = self.home.imports.some() => {}, () = stop.cancelled() => {} }
        }
    }

    async fn until_idle(&self) {
        let exports = &self.home.imports.exports;
        loop {
            tokio::time::sleep(REST).await;
            if exports.is_listed() && exports.is_empty() && self.there.is_listed() && self.there.is_empty() {
                return;
            }
        }
    }

    async fn watch(&self, to: &Connection, kind: Kind, what: &'static str) {
        let (source, import) = (names::PARENT_CLUSTER_NAME, names::IMPORT);
        let labels = format!("{source}={},{import}", self.home.cluster_name);
        let api = api(&to.client, to.namespace.as_deref(), &kind.resource());
        let config = Config::default().labels(&labels);
        let mut seen = std::pin::pin!(glimpses((what, &*self.node).into(), api, config));
        while let Some(glimpse) = seen.next().await {
            let concerned = match glimpse {
                Glimpse::Change(Change::Put(object)) => match serde_json::to_value(&object) {
                    Ok(object) => self.there.put(kind, &object, &self.context(to)),
                    Err(_) => vec![],
                },
                Glimpse::Change(Change::Gone((namespace, name))) => {
                    let gone = self.there.remove(&ObjectKey::new(kind, namespace, name));
                    gone.into_iter().collect()
                }
                Glimpse::Change(Change::Listed) => {
                    let gone = self.there.set_listed(kind);
                    self.add_all();
                    gone
                }
                Glimpse::Barred(bar) => {
                    let gone = self.there.set_barred(kind, bar);
                    self.add_all();
                    gone
                }
            };
            concerned.into_iter().for_each(|key| self.queue.add(key));
        }
    }

    fn context<'a>(&'a self, to: &'a Connection) -> Context<'a> {
        Context {
            cluster_name: &self.home.cluster_name,
            source_user: to.user.as_deref(),
            selector: None,
        }
    }

    /// The cluster, if it is this seat that looks after imports of the namespace there.
    fn here<'a>(&self, clusters: &'a Clusters, namespace: &str) -> Option<&'a Cluster> {
        match &*self.node {
            "" => Some(clusters.source()),
            node if clusters.is_in_charge(node, namespace) => clusters.of_node(node),
            _ => None,
        }
    }

    async fn reconcile(&self, to: &Connection, key: Key) -> Outcome {
        let imports = &self.home.imports;
        if !imports.exports.is_listed() || !self.there.is_listed() {
            return Outcome::Done;
        }
        let Some(clusters) = imports.clusters() else {
            return Outcome::Done;
        };
        let Some(here) = self.here(&clusters, &key.0) else {
            return Outcome::Done;
        };
        let context = self.context(to);
        let place = Place {
            client: &to.client,
            name: here.name.as_str(),
            there: &self.there,
            context: &context,
        };
        let Some(export) = imports.exports.get(&key) else {
            self.told.lock().remove(&key);
            return outcome(&place.withdraw(&key).await);
        };
        let result = match &export.service {
            // It is being read.
            None => return Outcome::Done,
            Some(Ok(service)) if !self.is_missing() => {
                if let Some(refusal) = self.denied(here) {
                    Err(Unfinished::Refused(refusal))
                } else {
                    let pods = pods_behind(&self.home, &key).filter(|_| imports.own.is_listed());
                    let Some(pods) = pods else {
                        return Outcome::Done;
                    };
                    let endpoints = imports.endpoints(&key, service, &pods, here, &clusters);
                    let exported = Exported {
                        key: &key,
                        export: &export,
                        service,
                    };
                    let known = Known {
                        clusters: &clusters,
                        here,
                        endpoints: &endpoints,
                    };
                    place.bring(&exported, &known).await.map(|()| Some(Progress::Imported))
                }
            }
            Some(_) => place.withdraw(&key).await.map(|()| None),
        };
        let (progress, refusal) = match &result {
            Ok(progress) => (progress.clone(), None),
            Err(unfinished) => unfinished.progress(here.name.as_str()),
        };
        self.tell(&key, &export.uid, refusal);
        imports.set_progress(&key, &here.name, progress);
        if let Err(unfinished) = &result {
            tracing::debug!(node = %self.node, namespace = key.0, service = key.1, ?unfinished, "import");
        }
        outcome(&result)
    }

    /// Nobody has defined what an import is: this cluster is not a part of the set.
    fn is_missing(&self) -> bool {
        self.there.listing(Kind::ServiceImport) == Listing::Barred(Bar::Missing)
    }

    fn denied(&self, here: &Cluster) -> Option<Refusal> {
        let denied = |kind: &&Kind| self.there.listing(**kind) == Listing::Barred(Bar::Denied);
        let kind = super::there::KINDS.iter().find(denied)?;
        Some(forbidden(*kind, here.name.as_str(), ""))
    }

    /// One event for each trouble, as long as it lasts.
    fn tell(&self, key: &Key, uid: &str, refusal: Option<Refusal>) {
        let mut told = self.told.lock();
        let Some(refusal) = refusal else {
            told.remove(key);
            return;
        };
        let before = told.insert(key.clone(), refusal.clone());
        if before.is_none_or(|before| before.reason != refusal.reason) {
            let (events, note) = (&self.home.events, refusal.note);
            events.warning(reference(key, uid), refusal.reason, "Import", note);
        }
    }
}

fn outcome<T>(result: &Result<T, Unfinished>) -> Outcome {
    match result {
        Ok(_) | Err(Unfinished::Waits) => Outcome::Done,
        Err(unfinished) => unfinished.again().map_or(Outcome::Retry, Outcome::Again),
    }
}

fn api(client: &Client, namespace: Option<&str>, resource: &ApiResource) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}
