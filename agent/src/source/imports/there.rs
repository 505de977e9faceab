//! What is in one cluster of imports that we made. Fed by events, answers at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use multicluster_api::names;
use parking_lot::RwLock;
use serde_json::Value;

use crate::changes::{Bar, Key};
use crate::source::following::copy::Context;
use crate::source::following::held::Held;
use crate::source::following::listing::Listing;
use crate::source::following::object::{Kind, ObjectKey};
use crate::target::index::newer;

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
pub fn export_of(object: &Value) -> Option<Key> {
    let metadata = &object["metadata"];
    let name = metadata["labels"][names::IMPORT].as_str()?;
    Some((metadata["namespace"].as_str()?.to_owned(), name.to_owned()))
}

/// The objects in one cluster. Those of the last connection stay known while there is none.
#[derive(Debug, Default)]
pub struct There(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By the exported Service.
    items: HashMap<Key, BTreeMap<ObjectKey, Item>>,
    exports: HashMap<ObjectKey, Key>,
    listings: BTreeMap<Kind, Listing>,
    /// Of an earlier connection, and not seen by this one.
    unseen: BTreeSet<ObjectKey>,
    /// How objects were when we wrote them last.
    written: HashMap<ObjectKey, Written>,
}

#[derive(Clone, Debug, Default)]
struct Written {
    fingerprint: String,
    /// Until then what somebody else has made of it stays.
    patience: Option<Instant>,
    times: u32,
}

/// First pause before what somebody else keeps changing is put back again; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl There {
    /// Take in an object, unless a newer version of it is known: the answer to a write may come before its event. Returns
    /// the exports for which anything but a version is news: two, if somebody has changed its labels.
    pub fn put(&self, kind: Kind, object: &Value, context: &Context<'_>) -> Vec<Key> {
        let (Some(export), Some(name)) = (export_of(object), object["metadata"]["name"].as_str()) else {
            return vec![];
        };
        let key = ObjectKey::new(kind, &export.0, name);
        let item = Item::of(kind, object, context);
        let mut inner = self.0.write();
        inner.unseen.remove(&key);
        let known = inner.exports.get(&key).cloned();
        let before = known
            .as_ref()
            .and_then(|known| inner.items.get(known)?.get(&key))
            .cloned();
        if let Some(before) = &before {
            let (old, new) = (&before.held, &item.held);
            if old.uid == new.uid && newer(&old.resource_version, &new.resource_version) {
                return vec![];
            }
        }
        let moved = known.filter(|known| *known != export);
        if let Some(moved) = &moved {
            inner.drop_of(moved, &key);
        }
        let news = moved.is_some() || !before.is_some_and(|before| before.same(&item));
        inner.exports.insert(key.clone(), export.clone());
        inner.items.entry(export.clone()).or_default().insert(key, item);
        match news {
            true => moved.into_iter().chain([export]).collect(),
            false => vec![],
        }
    }

    /// The answer to a write of ours.
    pub fn wrote(&self, kind: Kind, object: &Value, context: &Context<'_>) {
        self.put(kind, object, context);
        let Some(namespace) = object["metadata"]["namespace"].as_str() else {
            return;
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let key = ObjectKey::new(kind, namespace, name);
        let fingerprint = Item::of(kind, object, context).held.fingerprint;
        self.0.write().written.entry(key).or_default().fingerprint = fingerprint;
    }

    /// An object is gone. Returns the export concerned.
    pub fn remove(&self, key: &ObjectKey) -> Option<Key> {
        let mut inner = self.0.write();
        inner.written.remove(key);
        inner.unseen.remove(key);
        inner.forget(key)
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<Item> {
        let inner = self.0.read();
        inner.items.get(inner.exports.get(key)?)?.get(key).cloned()
    }

    /// What is there for an export.
    pub fn of(&self, export: &Key) -> BTreeMap<ObjectKey, Item> {
        self.0.read().items.get(export).cloned().unwrap_or_default()
    }

    /// Has somebody else changed this object since we wrote it? Then it is to be put back: at once, or after a pause that
    /// grows, should he go on.
    pub fn meddled(&self, key: &ObjectKey, held: &Held, now: Instant) -> Meddled {
        let mut inner = self.0.write();
        // What was written before this process was started, the digest alone tells.
        let written = inner.written.entry(key.clone()).or_insert_with(|| Written {
            fingerprint: held.fingerprint.clone(),
            ..Written::default()
        });
        if written.fingerprint == held.fingerprint {
            return Meddled::No;
        }
        match written.patience {
            Some(until) if until > now => return Meddled::PutBackAfter(until - now),
            Some(until) if until + LONGEST_PAUSE < now => written.times = 0,
            _ => {}
        }
        let pause = PAUSE.saturating_mul(1 << written.times.min(10)).min(LONGEST_PAUSE);
        (written.patience, written.times) = (Some(now + pause), written.times + 1);
        Meddled::PutBack
    }

    /// All exports that have something there.
    pub fn exports(&self) -> Vec<Key> {
        self.0.read().items.keys().cloned().collect()
    }

    /// Is nothing there?
    pub fn is_empty(&self) -> bool {
        self.0.read().items.is_empty()
    }

    /// All objects of the kind have been seen. Returns the exports of which something went while nobody watched.
    pub fn set_listed(&self, kind: Kind) -> Vec<Key> {
        let mut inner = self.0.write();
        inner.listings.insert(kind, Listing::Listed);
        let (gone, unseen) = std::mem::take(&mut inner.unseen)
            .into_iter()
            .partition(|key| key.kind == kind);
        inner.unseen = unseen;
        gone.iter().filter_map(|key: &ObjectKey| inner.forget(key)).collect()
    }

    /// The kind cannot be watched. Its objects are gone if it does not exist, and those that are kept from us stay.
    pub fn set_barred(&self, kind: Kind, bar: Bar) -> Vec<Key> {
        let gone = match bar {
            Bar::Missing => {
                let mut inner = self.0.write();
                let keys: Vec<_> = inner.exports.keys().filter(|key| key.kind == kind).cloned().collect();
                keys.iter().filter_map(|key| inner.forget(key)).collect()
            }
            Bar::Denied => vec![],
        };
        self.0.write().listings.insert(kind, Listing::Barred(bar));
        gone
    }

    /// What is known of a kind.
    pub fn listing(&self, kind: Kind) -> Listing {
        self.0.read().listings.get(&kind).copied().unwrap_or_default()
    }

    /// Is it known of each kind what there is of it, or that it cannot be known?
    pub fn is_listed(&self) -> bool {
        KINDS.iter().all(|kind| self.listing(*kind) != Listing::Pending)
    }

    /// The cluster is watched anew: what is not seen until the end of the list is gone.
    pub fn restart(&self) {
        let mut inner = self.0.write();
        inner.listings.clear();
        inner.unseen = inner.exports.keys().cloned().collect();
    }
}

/// What somebody else has done to an object of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddled {
    /// Nothing.
    No,
    /// He changed it: write it again.
    PutBack,
    /// He changed it again: write it again after this time.
    PutBackAfter(Duration),
}

impl Item {
    /// Do they differ in their versions at most?
    fn same(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.held.resource_version.clone_from(&self.held.resource_version);
        *self == other
    }
}

impl Inner {
    fn forget(&mut self, key: &ObjectKey) -> Option<Key> {
        let export = self.exports.remove(key)?;
        self.drop_of(&export, key);
        Some(export)
    }

    fn drop_of(&mut self, export: &Key, key: &ObjectKey) {
        if let Some(items) = self.items.get_mut(export) {
            items.remove(key);
            if items.is_empty() {
                self.items.remove(export);
            }
        }
    }
}
