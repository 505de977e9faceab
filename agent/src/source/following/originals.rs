//! What the source has of the kinds that follow pods: which objects, and at which version. An index.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;

use super::listing::Listing;
use super::object::{Kind, ObjectKey};

/// An object at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// UID.
    pub uid: Arc<str>,
    /// resourceVersion.
    pub resource_version: Arc<str>,
    /// When it was learned of. What is asked for later is not older.
    pub seen: Instant,
}

/// The objects of the source.
#[derive(Debug, Default)]
pub struct Originals([RwLock<OfKind>; Kind::ALL.len()]);

#[derive(Debug, Default)]
struct OfKind {
    versions: HashMap<ObjectKey, Version>,
    listing: Listing,
}

impl Originals {
    fn of(&self, kind: Kind) -> &RwLock<OfKind> {
        &self.0[kind as usize]
    }

    /// An object as it is now.
    pub fn put(&self, key: ObjectKey, uid: &str, resource_version: &str, seen: Instant) {
        let version = Version {
            uid: uid.into(),
            resource_version: resource_version.into(),
            seen,
        };
        self.of(key.kind).write().versions.insert(key, version);
    }

    /// An object is gone.
    pub fn remove(&self, key: &ObjectKey) {
        self.of(key.kind).write().versions.remove(key);
    }

    /// The version of an object, if it exists.
    pub fn version(&self, key: &ObjectKey) -> Option<Version> {
        self.of(key.kind).read().versions.get(key).cloned()
    }

    /// Keys of a kind that `which` selects.
    pub fn keys(&self, kind: Kind, which: impl Fn(&ObjectKey) -> bool) -> Vec<ObjectKey> {
        let of_kind = self.of(kind).read();
        of_kind.versions.keys().filter(|key| which(key)).cloned().collect()
    }

    /// What is known of a kind by now.
    pub fn set_listing(&self, kind: Kind, listing: Listing) {
        self.of(kind).write().listing = listing;
    }

    /// What is known of a kind.
    pub fn listing(&self, kind: Kind) -> Listing {
        self.of(kind).read().listing
    }

    /// Are all objects of all kinds known?
    pub fn is_complete(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| self.listing(kind).is_complete())
    }
}
