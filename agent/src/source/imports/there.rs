//! What is in one cluster of imports that we made. Fed by events, answers at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use multicluster_api::names;
use parking_lot::RwLock;
use serde_json::Value;

use crate::changes::{Bar, Key};
use crate::source::following::copy::Context;
use crate::source::following::held::Held;
use crate::source::following::object::{Kind, ObjectKey};

/// The kinds that an import consists of, in the order in which they are made.
pub const KINDS: [Kind; 3] = [Kind::ServiceImport, Kind::Service, Kind::EndpointSlice];

/// An object there.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What [`plan`](crate::source::following::plan::plan) needs to know.
    pub held: Held,
    /// Of a Service its cluster IPs, of an EndpointSlice its endpoints' addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Of a Service its cluster IPs, as the cluster orders them.
    pub cluster_ips: Vec<IpAddr>,
    /// Of a ServiceImport its status.
    pub status: Value,
}

impl Item {
    /// Read an object.
    pub fn of(kind: Kind, object: &Value, context: &Context<'_>) -> Self {
        let parsed = |list: &Value| -> Vec<IpAddr> {
            let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.filter_map(|text| text.parse().ok()).collect()
        };
        let cluster_ips = match kind {
            Kind::Service => parsed(&object["spec"]["clusterIPs"]),
            _ => vec![],
        };
        let addresses = match kind {
            Kind::EndpointSlice => {
                let endpoints = object["endpoints"].as_array().into_iter().flatten();
                endpoints.flat_map(|endpoint| parsed(&endpoint["addresses"])).collect()
            }
            _ => BTreeSet::new(),
        };
        let status = match kind {
            Kind::ServiceImport => object["status"].clone(),
            _ => Value::Null,
        };
        Self {
            held: Held::of(kind, object, context),
            addresses,
            cluster_ips,
            status,
        }
    }
}

/// The exported Service whose import an object is a part of.
pub fn export_of(kind: Kind, object: &Value) -> Option<Key> {
    let metadata = &object["metadata"];
    let name = match kind {
        Kind::ServiceImport => &metadata["name"],
        _ => &metadata["labels"][names::MCS_SERVICE_NAME],
    };
    Some((metadata["namespace"].as_str()?.to_owned(), name.as_str()?.to_owned()))
}

/// The objects in one cluster.
#[derive(Debug, Default)]
pub struct There(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By the exported Service.
    items: HashMap<Key, BTreeMap<ObjectKey, Item>>,
    exports: HashMap<ObjectKey, Key>,
    listed: BTreeSet<Kind>,
    bars: BTreeMap<Kind, Bar>,
}

impl There {
    /// Take in an object. Returns the exports concerned: two, if somebody has changed its labels.
    pub fn put(&self, kind: Kind, object: &Value, context: &Context<'_>) -> Vec<Key> {
        let (Some(export), Some(name)) = (export_of(kind, object), object["metadata"]["name"].as_str()) else {
            return vec![];
        };
        let key = ObjectKey::new(kind, &export.0, name);
        let item = Item::of(kind, object, context);
        let mut inner = self.0.write();
        let before = inner.exports.insert(key.clone(), export.clone());
        let moved = before.filter(|before| *before != export);
        if let Some(moved) = &moved {
            inner.drop_of(moved, &key);
        }
        inner.items.entry(export.clone()).or_default().insert(key, item);
        moved.into_iter().chain([export]).collect()
    }

    /// An object is gone. Returns the export concerned.
    pub fn remove(&self, key: &ObjectKey) -> Option<Key> {
        let mut inner = self.0.write();
        let export = inner.exports.remove(key)?;
        inner.drop_of(&export, key);
        Some(export)
    }

    /// What is there for an export.
    pub fn of(&self, export: &Key) -> BTreeMap<ObjectKey, Item> {
        self.0.read().items.get(export).cloned().unwrap_or_default()
    }

    /// All exports that have something there.
    pub fn exports(&self) -> Vec<Key> {
        self.0.read().items.keys().cloned().collect()
    }

    /// All objects of the kind are known.
    pub fn set_listed(&self, kind: Kind) {
        let mut inner = self.0.write();
        inner.listed.insert(kind);
        inner.bars.remove(&kind);
    }

    /// The kind cannot be watched. One that is missing has no objects.
    pub fn set_barred(&self, kind: Kind, bar: Bar) {
        let mut inner = self.0.write();
        inner.bars.insert(kind, bar);
        if bar == Bar::Missing {
            inner.listed.insert(kind);
        }
    }

    /// Why the kind cannot be watched.
    pub fn bar(&self, kind: Kind) -> Option<Bar> {
        self.0.read().bars.get(&kind).copied()
    }

    /// Is all that exists known, as far as it can be?
    pub fn is_listed(&self) -> bool {
        let inner = self.0.read();
        KINDS
            .iter()
            .all(|kind| inner.listed.contains(kind) || inner.bars.contains_key(kind))
    }

    /// A new connection is looked at anew; what is known stays known until then.
    pub fn begin(&self) {
        let mut inner = self.0.write();
        inner.listed.clear();
        inner.bars.clear();
    }

    /// Keys of all objects of a kind.
    pub fn keys(&self, kind: Kind) -> BTreeSet<ObjectKey> {
        let inner = self.0.read();
        inner.exports.keys().filter(|key| key.kind == kind).cloned().collect()
    }
}

impl Inner {
    fn drop_of(&mut self, export: &Key, key: &ObjectKey) {
        if let Some(items) = self.items.get_mut(export) {
            items.remove(key);
            if items.is_empty() {
                self.items.remove(export);
            }
        }
    }
}
