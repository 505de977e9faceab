//! What the source has of the kinds that follow pods: which objects, and at which version. An index.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;

use super::listing::Listing;
use super::object::{Kind, ObjectKey};
use crate::target::index::newer;

/// An object at one moment.
#[derive(Clone, Debug)]
pub struct Version {
    /// UID.
    pub uid: Arc<str>,
    /// resourceVersion.
    pub resource_version: Arc<str>,
    /// When it was learned of. What is asked for later is not older.
    pub seen: Instant,
}

impl Version {
    /// Is this the same object, and not an older state of it?
    pub fn covers(&self, other: &Self) -> bool {
        self.uid == other.uid
            && (self.resource_version == other.resource_version
                || newer(&self.resource_version, &other.resource_version))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn version(uid: &str, resource_version: &str) -> Version {
        Version {
            uid: uid.into(),
            resource_version: resource_version.into(),
            seen: Instant::now(),
        }
    }

    #[test]
    fn a_later_state_covers_an_earlier_one_of_the_same_object() {
        for (one, other, expected) in [
            (("a", "9"), ("a", "9"), true),
            (("a", "10"), ("a", "9"), true),
            (("a", "9"), ("a", "10"), false),
            (("b", "10"), ("a", "9"), false),
        ] {
            assert_eq!(
                version(one.0, one.1).covers(&version(other.0, other.1)),
                expected,
                "{one:?} {other:?}"
            );
        }
    }

    #[test]
    fn all_is_known_when_every_kind_is() {
        let originals = Originals::default();
        for kind in Kind::ALL {
            assert!(!originals.is_complete(), "{kind:?} is not known");
            originals.set_listing(kind, Listing::Listed);
        }
        assert!(originals.is_complete());
        originals.set_listing(Kind::HttpRoute, Listing::Barred(crate::changes::Bar::Missing));
        assert!(originals.is_complete(), "where the kind does not exist there are none");
        originals.set_listing(Kind::Secret, Listing::Barred(crate::changes::Bar::Denied));
        assert!(!originals.is_complete());
    }
}
