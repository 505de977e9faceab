//! EndpointSlices of the source's own Services: pods that run in the source are endpoints, too. An index.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use multicluster_api::names;
use parking_lot::RwLock;

use crate::changes::{Key, key_of};

/// They are selected by these labels: some Service's, and none of ours.
pub fn selector() -> String {
    let (service, managed_by) = (names::SLICE_SERVICE, names::SLICE_MANAGED_BY);
    format!("{service},{managed_by}!={}", names::MANAGED_BY_AGENT)
}

/// All of them.
#[derive(Debug, Default)]
pub struct OwnSlices(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_service: HashMap<Key, BTreeMap<String, EndpointSlice>>,
    services: HashMap<Key, Key>,
    listed: bool,
}

impl OwnSlices {
    /// A slice as it is now. Returns the Services concerned.
    pub fn put(&self, mut slice: EndpointSlice) -> Vec<Key> {
        let key = key_of(&slice);
        let Some(service) = slice.labels().get(names::SLICE_SERVICE) else {
            return self.remove(&key).into_iter().collect();
        };
        let service = (key.0.clone(), service.clone());
        slice.metadata = Default::default();
        let mut inner = self.0.write();
        let before = inner.services.insert(key.clone(), service.clone());
        let moved = before.filter(|before| *before != service);
        if let Some(moved) = &moved {
            inner.drop_of(moved, &key.1);
        }
        let slices = inner.by_service.entry(service.clone()).or_default();
        slices.insert(key.1, slice);
        moved.into_iter().chain([service]).collect()
    }

    /// A slice is gone. Returns its Service.
    pub fn remove(&self, key: &Key) -> Option<Key> {
        let mut inner = self.0.write();
        let service = inner.services.remove(key)?;
        inner.drop_of(&service, &key.1);
        Some(service)
    }

    /// All that exist are known.
    pub fn set_listed(&self) {
        self.0.write().listed = true;
    }

    /// Are all that exist known?
    pub fn is_listed(&self) -> bool {
        self.0.read().listed
    }

    /// Nobody watches them any more.
    pub fn clear(&self) {
        *self.0.write() = Inner::default();
    }

    /// Those of a Service.
    pub fn of(&self, service: &Key) -> Vec<EndpointSlice> {
        let inner = self.0.read();
        let slices = inner.by_service.get(service).into_iter();
        slices.flat_map(BTreeMap::values).cloned().collect()
    }
}

impl Inner {
    fn drop_of(&mut self, service: &Key, name: &str) {
        if let Some(slices) = self.by_service.get_mut(service) {
            slices.remove(name);
            if slices.is_empty() {
                self.by_service.remove(service);
            }
        }
    }
}
