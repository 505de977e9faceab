//! The watches of the source: one of each kind, for all targets.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference, Secret};
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::Config;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::hub::Following;
use super::listing::Listing;
use super::object::{Kind, ObjectKey};
use super::reroute;
use crate::api_error;
use crate::changes::{Change, Glimpse, glimpses};
use crate::home::Home;
use crate::queue::Outcome;

/// Services whose selectors are looked at at a time.
const CONCURRENCY: usize = 8;
/// How often answers that nobody will ask for are dropped.
const SWEEP: Duration = Duration::from_secs(5);

/// Watch the source's objects until `stop`, and keep the selectors of its Services.
pub async fn run(home: Arc<Home>, stop: CancellationToken) {
    let shared = home.clone();
    let work = move |key: ObjectKey| {
        let home = shared.clone();
        async move { reroute_one(&home, &key).await }
    };
    let reroutes = home.following.reroutes.clone();
    tokio::select! {
        () = Box::pin(files::<ConfigMap>(&home, Kind::ConfigMap)) => {}
        () = Box::pin(files::<Secret>(&home, Kind::Secret)) => {}
        () = Box::pin(objects(&home, Kind::Service)) => {}
        () = Box::pin(objects(&home, Kind::Ingress)) => {}
        () = Box::pin(objects(&home, Kind::HttpRoute)) => {}
        () = sweep(&home.following) => {}
        () = Box::pin(reroutes.run(CONCURRENCY, stop, work)) => {}
    }
}

/// What a kind is called in metrics and logs.
pub fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::ConfigMap => "configmaps",
        Kind::Secret => "secrets",
        Kind::Service => "services",
        Kind::Ingress => "ingresses",
        Kind::HttpRoute => "httproutes",
        Kind::ServiceImport => "serviceimports",
        Kind::EndpointSlice => "endpointslices",
    }
}

/// For events about an object.
pub fn reference(key: &ObjectKey, uid: Option<String>) -> ObjectReference {
    let resource = key.kind.resource();
    ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        namespace: Some(key.namespace.clone()),
        name: Some(key.name.clone()),
        uid,
        ..ObjectReference::default()
    }
}

/// Of ConfigMaps and Secrets only the metadata is read: nearly all of them are of no concern to anybody here.
async fn files<K>(home: &Home, kind: Kind)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let api = Api::<PartialObjectMeta<K>>::all(home.client.clone());
    let mut seen = std::pin::pin!(glimpses(name(kind).into(), api, Config::default()));
    while let Some(glimpse) = seen.next().await {
        take(&home.following, kind, glimpse, |key, file| {
            let metadata = file.metadata;
            let (uid, version) = (
                metadata.uid.unwrap_or_default(),
                metadata.resource_version.unwrap_or_default(),
            );
            home.following.put_file(key, &uid, &version);
        });
    }
}

async fn objects(home: &Home, kind: Kind) {
    let api = Api::<DynamicObject>::all_with(home.client.clone(), &kind.resource());
    let mut seen = std::pin::pin!(glimpses(name(kind).into(), api, Config::default()));
    while let Some(glimpse) = seen.next().await {
        take(&home.following, kind, glimpse, |key, mut object| {
            object.metadata.managed_fields = None;
            if let Ok(object) = serde_json::to_value(&object) {
                home.following.put_object(key, &object);
            }
        });
    }
}

fn take<K: ResourceExt>(following: &Following, kind: Kind, glimpse: Glimpse<K>, put: impl FnOnce(ObjectKey, K)) {
    match glimpse {
        Glimpse::Change(Change::Put(object)) => {
            let key = ObjectKey::new(kind, object.namespace().unwrap_or_default(), object.name_any());
            put(key, object);
        }
        Glimpse::Change(Change::Gone((namespace, name))) => following.remove(&ObjectKey::new(kind, namespace, name)),
        Glimpse::Change(Change::Listed) => following.set_listing(kind, Listing::Listed),
        Glimpse::Barred(bar) => following.set_listing(kind, Listing::Barred(bar)),
    }
}

async fn sweep(following: &Following) {
    loop {
        tokio::time::sleep(SWEEP).await;
        following.fetched.sweep();
    }
}

/// A Service of the source selects the delegates of its pods.
async fn reroute_one(home: &Home, key: &ObjectKey) -> Outcome {
    let following = &home.following;
    // Before all are known there may seem to be no pods, or only some of those that disagree.
    if !following.knows(&[Kind::Service]) {
        return Outcome::Done;
    }
    let Some(service) = following.routed(key) else {
        return Outcome::Done;
    };
    if !service.is_marked() && !following.has_proxy_pods(key) {
        return Outcome::Done;
    }
    let selector = match following.selector(key) {
        Some(Ok(selector)) => {
            following.agreed(key);
            selector
        }
        Some(Err(disagree)) => {
            if following.is_new_disagreement(key, &disagree) {
                let note = format!("its selector is left as it is, and finds no delegates: {disagree}");
                home.events.warning(
                    reference(key, Some(service.uid.clone())),
                    "SelectorAmbiguous",
                    "Reroute",
                    note,
                );
            }
            return Outcome::Done;
        }
        None => return Outcome::Done,
    };
    let Some(patch) = service.reroute(&selector) else {
        return Outcome::Done;
    };
    match reroute::write(&home.client, key, &patch).await {
        Ok(()) => {
            home.metrics.selectors_rewritten.inc();
            Outcome::Done
        }
        // The watch will say what it is now.
        Err(error) if api_error::is_conflict(&error) || api_error::is_not_found(&error) => Outcome::Done,
        Err(error) => {
            tracing::warn!(namespace = key.namespace, service = key.name, %error, "rewriting a selector");
            Outcome::Retry
        }
    }
}
