//! The agent's own objects of one kind, as a watch sees them, written by comparing.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Error, ResourceExt};
use multicluster_api::names;
use parking_lot::RwLock;
use serde_json::Value;

use super::owned;
use crate::api_error;
use crate::changes::{Change, Glimpse, Key, glimpses, key_of};
use crate::source::following::object::ObjectKey;

/// What came of an attempt to have certain objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Writes that were made.
    pub writes: u64,
    /// Names that objects of others have.
    pub taken: Vec<String>,
}

#[derive(Debug, PartialEq)]
struct Held {
    exposes: ObjectKey,
    uid: String,
    object: Value,
}

#[derive(Debug, Default)]
struct Index {
    /// All that exist are known. Not so while the kind is missing.
    listed: bool,
    held: BTreeMap<Key, Held>,
}

/// Objects of one kind.
pub struct Shelf {
    client: Client,
    resource: ApiResource,
    index: RwLock<Index>,
}

impl Shelf {
    /// Nothing is known yet.
    pub fn new(client: Client, resource: ApiResource) -> Self {
        Self {
            client,
            resource,
            index: RwLock::default(),
        }
    }

    /// Follow them for ever. `touched` hears of what they expose when somebody else has changed or removed one, and when
    /// all are known.
    pub async fn watch(&self, what: &'static str, touched: impl Fn(Option<ObjectKey>)) {
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &self.resource);
        let mut all = std::pin::pin!(glimpses(what.into(), api, Config::default().labels(&owned::selector())));
        while let Some(glimpse) = all.next().await {
            match glimpse {
                Glimpse::Change(Change::Put(object)) => touched(self.put(object)),
                Glimpse::Change(Change::Gone(key)) => {
                    let held = self.index.write().held.remove(&key);
                    if let Some(held) = held {
                        touched(Some(held.exposes));
                    }
                }
                Glimpse::Change(Change::Listed) => {
                    self.index.write().listed = true;
                    touched(None);
                }
                Glimpse::Barred(_) => self.index.write().listed = false,
            }
        }
    }

    /// What all of them expose.
    pub fn exposed(&self) -> BTreeSet<ObjectKey> {
        self.index
            .read()
            .held
            .values()
            .map(|held| held.exposes.clone())
            .collect()
    }

    /// Returns what it exposes when it is not what was known.
    fn put(&self, object: DynamicObject) -> Option<ObjectKey> {
        let (key, uid) = (key_of(&object), object.uid()?);
        let exposes = owned::exposes(&key.0, object.annotations().get(names::EXPOSES)?)?;
        let held = Held {
            exposes: exposes.clone(),
            uid,
            object: lasting(serde_json::to_value(object).ok()?),
        };
        let mut index = self.index.write();
        let same = index.held.get(&key) == Some(&held);
        index.held.insert(key, held);
        (!same).then_some(exposes)
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &self.resource)
    }

    /// Have these objects for `key`, and no others. Without the definition of the kind there is nothing to do.
    pub async fn keep(&self, key: &ObjectKey, wanted: &[Value]) -> Result<Kept, Error> {
        let mut kept = Kept::default();
        if !self.index.read().listed {
            return Ok(kept);
        }
        for object in wanted {
            self.keep_one(key, object, &mut kept).await?;
        }
        let names: BTreeSet<_> = wanted
            .iter()
            .filter_map(|object| object["metadata"]["name"].as_str())
            .collect();
        let left: Vec<_> = {
            let index = self.index.read();
            let ours = index.held.iter().filter(|(_, held)| held.exposes == *key);
            let unwanted = ours.filter(|((_, name), _)| !names.contains(name.as_str()));
            unwanted.map(|(key, held)| (key.clone(), held.uid.clone())).collect()
        };
        for (own, uid) in left {
            delete(&self.api(&own.0), &own.1, uid).await?;
            self.index.write().held.remove(&own);
            kept.writes += 1;
        }
        Ok(kept)
    }

    async fn keep_one(&self, key: &ObjectKey, wanted: &Value, kept: &mut Kept) -> Result<(), Error> {
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let (api, own) = (self.api(&key.namespace), (key.namespace.clone(), name.clone()));
        let known = self
            .index
            .read()
            .held
            .get(&own)
            .map(|held| (held.uid.clone(), owned::covers(&held.object, wanted)));
        let written = match known {
            Some((_, true)) => return Ok(()),
            Some((uid, false)) => {
                let patch = Patch::Merge(owned::patch(wanted, &uid));
                let patched = api.patch(&name, &PatchParams::default(), &patch).await;
                if patched
                    .as_ref()
                    .is_err_and(|error| api_error::is_not_found(error) || api_error::is_conflict(error))
                {
                    // It is gone, or another one, and the watch has not said so yet.
                    self.index.write().held.remove(&own);
                }
                patched?
            }
            None => {
                let object = serde_json::from_value(wanted.clone()).map_err(Error::SerdeError)?;
                match api.create(&PostParams::default(), &object).await {
                    Err(error) if api_error::is_already_exists(&error) => {
                        let there = api.get(&name).await?;
                        match is_ours(&there) {
                            // The watch was slower; next time it is compared.
                            true => {
                                self.put(there);
                                return Err(error);
                            }
                            false => {
                                kept.taken.push(name);
                                return Ok(());
                            }
                        }
                    }
                    created => created?,
                }
            }
        };
        self.put(written);
        kept.writes += 1;
        Ok(())
    }
}

/// Delete an object if it is still this one.
async fn delete(api: &Api<DynamicObject>, name: &str, uid: String) -> Result<(), Error> {
    let preconditions = Preconditions {
        uid: Some(uid),
        ..Default::default()
    };
    api_error::ignore_gone(
        api.delete(name, &DeleteParams::background().preconditions(preconditions))
            .await,
    )
}

/// Was it made by an agent for something that it exposes?
fn is_ours(object: &DynamicObject) -> bool {
    let managed = object
        .labels()
        .get(names::MANAGED_BY)
        .is_some_and(|by| by == names::MANAGED_BY_AGENT);
    managed && object.labels().contains_key(names::EXPOSES)
}

/// What is not different after a write that changes nothing of ours.
fn lasting(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for changing in ["resourceVersion", "managedFields", "generation"] {
            metadata.remove(changing);
        }
    }
    object
}

/// Delete all objects of a kind that agents made for what they expose. Returns how many there were; none where the kind is
/// missing.
pub async fn clear(client: &Client, resource: &ApiResource) -> Result<usize, Error> {
    let found = list(client, resource).await?;
    for (namespace, name, uid) in &found {
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, resource);
        delete(&api, name, uid.clone()).await?;
    }
    Ok(found.len())
}

/// Namespace, name and UID of all objects of a kind that agents made for what they expose.
pub async fn list(client: &Client, resource: &ApiResource) -> Result<Vec<(String, String, String)>, Error> {
    let api = Api::<DynamicObject>::all_with(client.clone(), resource);
    let found = api
        .list_metadata(&kube::api::ListParams::default().labels(&owned::selector()))
        .await;
    match found {
        Err(error) if api_error::is_not_found(&error) => Ok(vec![]),
        found => Ok(found?
            .items
            .into_iter()
            .map(|object| {
                (
                    object.namespace().unwrap_or_default(),
                    object.name_any(),
                    object.uid().unwrap_or_default(),
                )
            })
            .collect()),
    }
}
