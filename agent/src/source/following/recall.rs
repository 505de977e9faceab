//! Takes back the copies that are in a target, also those that no watch has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Preconditions};
use kube::{Api, Client};
use multicluster_api::names;

use super::object::Kind;
use crate::api_error;
use crate::source::link::call::{CallError, call};

/// Deletions under way at a time.
const CONCURRENCY: usize = 32;

/// Kinds of which there may be copies in a target: what follows pods, and the imports of exported Services.
pub fn kinds() -> Vec<ApiResource> {
    let mut kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.resource()).collect();
    // Routes go before what they route to.
    kinds.reverse();
    kinds.extend([Kind::EndpointSlice, Kind::ServiceImport].map(Kind::resource));
    kinds
}

/// Is this object a copy of something in a source? Labels alone are quickly written by hand.
pub fn is_copy(metadata: &ObjectMeta) -> bool {
    let has =
        |keys: &Option<BTreeMap<String, String>>, key: &str| keys.as_ref().is_some_and(|keys| keys.contains_key(key));
    has(&metadata.labels, names::PARENT_CLUSTER_NAME)
        && has(&metadata.labels, names::PARENT_UID)
        && has(&metadata.annotations, names::DIGEST)
}

/// Who made a copy, if it says so.
fn owner(metadata: &ObjectMeta) -> Option<&str> {
    let annotations = metadata.annotations.as_ref()?;
    annotations.get(names::SOURCE_USER).map(String::as_str)
}

/// What other Targets that lead to the same cluster look after there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    everywhere: bool,
    namespaces: BTreeSet<String>,
}

impl Others {
    /// Does another target look after this namespace?
    pub fn look_after(&self, namespace: &str) -> bool {
        self.everywhere || self.namespaces.contains(namespace)
    }
}

impl<'a> FromIterator<Option<&'a str>> for Others {
    /// Of the namespaces that they serve; `None` serves all.
    fn from_iter<I: IntoIterator<Item = Option<&'a str>>>(namespaces: I) -> Self {
        let mut others = Self::default();
        for namespace in namespaces {
            match namespace {
                Some(namespace) => drop(others.namespaces.insert(namespace.to_owned())),
                None => others.everywhere = true,
            }
        }
        others
    }
}

/// Which copies are to go.
#[derive(Clone, Debug)]
pub struct Whose<'a> {
    /// Of the source cluster of this name.
    pub cluster_name: &'a str,
    /// In this namespace, or in all of them.
    pub namespace: Option<&'a str>,
    /// What other Targets that lead to the same cluster look after stays.
    pub others: &'a Others,
    /// The user that the target knows us as. What names another one is not ours.
    pub user: Option<&'a str>,
}

impl Whose<'_> {
    fn includes(&self, metadata: &ObjectMeta) -> bool {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        is_copy(metadata) && !self.others.look_after(namespace)
    }

    /// Another user that made the copy: the cluster was connected by other credentials then.
    fn stranger<'m>(&self, metadata: &'m ObjectMeta) -> Option<&'m str> {
        owner(metadata).filter(|owner| self.user.is_some_and(|user| user != *owner))
    }
}

/// What became of the copies in a target.
#[derive(Debug, Default)]
pub struct Recalled {
    /// So many were deleted.
    pub deleted: usize,
    /// What may be left, and why.
    pub left: BTreeSet<String>,
}

impl Recalled {
    fn leave(&mut self, what: &str, error: &CallError) {
        self.left.insert(format!("{what}: {error}"));
    }
}

/// Delete copies. What cannot be deleted is told, and the rest goes on. Nobody waits until those are gone that a finalizer
/// of the target holds: it is theirs.
pub async fn recall(client: &Client, whose: &Whose<'_>) -> Recalled {
    let ours = ListParams::default().labels(&format!("{}={}", names::PARENT_CLUSTER_NAME, whose.cluster_name));
    let mut recalled = Recalled::default();
    for resource in kinds() {
        let api: Api<DynamicObject> = match whose.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let found = match call(api.list_metadata(&ours)).await {
            Ok(found) => found.items,
            // The kind is not known there, so there are none.
            Err(CallError::Kube(error)) if api_error::is_not_found(&error) => continue,
            Err(error @ CallError::Kube(_)) => {
                recalled.leave(&resource.plural, &error);
                continue;
            }
            // All other kinds would take as long.
            Err(error) => {
                recalled.leave("ConfigMaps, Secrets, Services and what routes to them", &error);
                return recalled;
            }
        };
        let resource = Arc::new(resource);
        let mut deletions = vec![];
        let copies = found.into_iter().map(|object| object.metadata);
        for metadata in copies.filter(|metadata| whose.includes(metadata)) {
            if let Some(stranger) = whose.stranger(&metadata) {
                let told = format!("{}: some are of user {stranger}", resource.plural);
                recalled.left.insert(told);
                continue;
            }
            let (client, resource) = (client.clone(), resource.clone());
            deletions.push(async move { delete(client, &resource, &metadata).await });
        }
        let mut results = stream::iter(deletions).buffer_unordered(CONCURRENCY);
        while let Some(result) = results.next().await {
            match result {
                Ok(()) => recalled.deleted += 1,
                Err(error) => recalled.leave(&resource.plural, &error),
            }
        }
    }
    recalled
}

/// Delete exactly this copy.
async fn delete(client: Client, resource: &ApiResource, metadata: &ObjectMeta) -> Result<(), CallError> {
    if metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, resource);
    let exactly = DeleteParams::default().preconditions(Preconditions {
        uid: metadata.uid.clone(),
        ..Default::default()
    });
    match call(api.delete(metadata.name.as_deref().unwrap_or_default(), &exactly)).await {
        Err(CallError::Kube(error)) => Ok(api_error::ignore_gone::<()>(Err(error))?),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
