//! Watches all targets for an identity that runs twice, by plain lists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use multicluster_api::names;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::world::{World, phase};

/// How often all targets are looked at.
const PERIOD: Duration = Duration::from_millis(200);

/// Namespace and name of a proxy pod.
type Identity = (String, String);
/// The live delegates of a cluster: whom they stand for, by their UID.
type Live = BTreeMap<String, Identity>;

#[derive(Default)]
struct Seen {
    looks: usize,
    twice: BTreeSet<String>,
}

/// Looks until it is dropped.
pub struct Observer {
    seen: Arc<Mutex<Seen>>,
    /// Namespaces that are looked at.
    watched: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Observer {
    /// Look at these namespaces of all targets from now on, not through the links.
    pub fn start(world: &World, namespaces: &[&str]) -> Self {
        let clients: Vec<(String, Client)> = world
            .product
            .targets
            .iter()
            .map(|(name, seat)| (name.clone(), seat.cluster.client()))
            .collect();
        let watched = namespaces.iter().map(|namespace| (*namespace).to_owned()).collect();
        let (seen, watched) = (Arc::new(Mutex::new(Seen::default())), Arc::new(Mutex::new(watched)));
        let (notes, wanted) = (seen.clone(), watched.clone());
        let task = tokio::spawn(async move {
            loop {
                // An API server that does not answer is looked at again.
                if let Ok(twice) = look(&clients, &wanted).await {
                    let mut notes = notes.lock();
                    notes.looks += 1;
                    notes.twice.extend(twice);
                }
                tokio::time::sleep(PERIOD).await;
            }
        });
        Self { seen, watched, task }
    }

    /// From now on, this namespace's user answers for what runs in a target that is away.
    pub fn overrule(&self, namespace: &str) {
        self.watched.lock().remove(namespace);
    }

    /// No identity ran twice.
    pub fn check(&self) -> Result<()> {
        let seen = self.seen.lock();
        ensure!(seen.looks > 10, "the observer looked only {} times", seen.looks);
        ensure!(seen.twice.is_empty(), "ran twice: {:?}", seen.twice);
        Ok(())
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Identities with two live delegates at a time. Lists are not taken at one moment: what is in the first one, and still
/// in a list of the same cluster that is taken after all others, was there all the time.
async fn look(clients: &[(String, Client)], wanted: &Mutex<BTreeSet<String>>) -> Result<Vec<String>> {
    let mut before = BTreeMap::new();
    for (name, client) in clients {
        before.insert(name, live(client).await?);
    }
    let mut holders: BTreeMap<Identity, Vec<(&String, String)>> = BTreeMap::new();
    for (name, client) in clients {
        let after = live(client).await?;
        for (uid, identity) in &before[name] {
            if after.contains_key(uid) && wanted.lock().contains(&identity.0) {
                let place = (name, uid.clone());
                holders.entry(identity.clone()).or_default().push(place);
            }
        }
    }
    let twice = holders.into_iter().filter(|(_, places)| places.len() > 1);
    Ok(twice
        .map(|((namespace, pod), places)| format!("{namespace}/{pod} in {places:?}"))
        .collect())
}

async fn live(client: &Client) -> Result<Live> {
    let delegates = ListParams::default().labels(names::PARENT_UID);
    let pods = Api::<Pod>::all(client.clone()).list(&delegates).await?;
    let live = pods
        .items
        .into_iter()
        .filter(|pod| !matches!(phase(pod).as_str(), "Succeeded" | "Failed"));
    Ok(live
        .map(|pod| {
            let parent = pod.annotations().get(names::PARENT_NAME).cloned().unwrap_or_default();
            (
                pod.uid().unwrap_or_default(),
                (pod.namespace().unwrap_or_default(), parent),
            )
        })
        .collect())
}
