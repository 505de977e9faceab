//! What one target has of ours: the copies, by what they are copies of. An index.

use std::collections::{HashMap, HashSet};

use parking_lot::RwLock;

use super::held::Held;
use super::listing::Listing;
use super::object::{Kind, ObjectKey};
use crate::changes::Bar;
use crate::target::index::newer;

/// The objects in one target that say they are ours. Those of the last connection stay known while there is none.
#[derive(Debug, Default)]
pub struct Copies([RwLock<OfKind>; Kind::ALL.len()]);

#[derive(Debug, Default)]
struct OfKind {
    held: HashMap<ObjectKey, Held>,
    listing: Listing,
    /// Of an earlier connection, and not seen by this one.
    unseen: HashSet<ObjectKey>,
}

impl Copies {
    fn of(&self, kind: Kind) -> &RwLock<OfKind> {
        &self.0[kind as usize]
    }

    /// The target is watched anew: what is not seen until the end of the list is gone.
    pub fn restart(&self) {
        for of_kind in &self.0 {
            let mut of_kind = of_kind.write();
            of_kind.listing = Listing::Pending;
            of_kind.unseen = of_kind.held.keys().cloned().collect();
        }
    }

    /// It is another cluster now.
    pub fn clear(&self) {
        for of_kind in &self.0 {
            *of_kind.write() = OfKind::default();
        }
    }

    /// Take in an object, unless a newer version of it is known: the answer to a write may come before its event. Returns
    /// whether anything but its version is news.
    pub fn put(&self, key: ObjectKey, held: Held) -> bool {
        let mut of_kind = self.of(key.kind).write();
        of_kind.unseen.remove(&key);
        match of_kind.held.get(&key) {
            Some(known) if known.uid == held.uid && newer(&known.resource_version, &held.resource_version) => false,
            Some(known) => {
                let news = !same(known, &held);
                of_kind.held.insert(key, held);
                news
            }
            None => {
                of_kind.held.insert(key, held);
                true
            }
        }
    }

    /// An object is gone. Returns whether it was known.
    pub fn remove(&self, key: &ObjectKey) -> bool {
        self.of(key.kind).write().held.remove(key).is_some()
    }

    /// What is there under this name.
    pub fn get(&self, key: &ObjectKey) -> Option<Held> {
        self.of(key.kind).read().held.get(key).cloned()
    }

    /// Is anything of ours there under this name?
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.of(key.kind).read().held.contains_key(key)
    }

    /// Keys of a kind.
    pub fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        self.of(kind).read().held.keys().cloned().collect()
    }

    /// All objects of a kind have been seen. Returns those that went while nobody watched.
    pub fn set_listed(&self, kind: Kind) -> Vec<ObjectKey> {
        let mut of_kind = self.of(kind).write();
        of_kind.listing = Listing::Listed;
        let gone: Vec<_> = std::mem::take(&mut of_kind.unseen).into_iter().collect();
        gone.iter().for_each(|key| drop(of_kind.held.remove(key)));
        gone
    }

    /// A kind cannot be watched. Returns what is gone for that.
    pub fn set_barred(&self, kind: Kind, bar: Bar) -> Vec<ObjectKey> {
        let mut of_kind = self.of(kind).write();
        of_kind.listing = Listing::Barred(bar);
        match bar {
            Bar::Missing => {
                of_kind.unseen.clear();
                of_kind.held.drain().map(|(key, _)| key).collect()
            }
            Bar::Denied => vec![],
        }
    }

    /// What is known of a kind.
    pub fn listing(&self, kind: Kind) -> Listing {
        self.of(kind).read().listing
    }
}

/// Do they differ in their versions at most?
fn same(one: &Held, other: &Held) -> bool {
    let other = Held {
        resource_version: one.resource_version.clone(),
        ..other.clone()
    };
    *one == other
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::copy::Context;
    use super::*;

    fn held(uid: &str, version: &str) -> Held {
        let context = Context {
            cluster_name: "c",
            source_user: None,
            selector: None,
        };
        let object = json!({ "metadata": { "uid": uid, "resourceVersion": version } });
        Held {
            uid: uid.into(),
            resource_version: version.into(),
            ..Held::of(Kind::Service, &object, &context)
        }
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(Kind::Service, "n", name)
    }

    #[test]
    fn what_is_older_than_what_is_known_says_nothing() {
        let copies = Copies::default();
        assert!(copies.put(key("a"), held("1", "20")));
        assert!(!copies.put(key("a"), held("1", "9")));
        assert_eq!(copies.get(&key("a")).unwrap().resource_version, "20");
        // Another object of the name: its versions may count from anywhere.
        assert!(copies.put(key("a"), held("2", "3")));
        assert_eq!(copies.get(&key("a")).unwrap().uid, "2");
    }

    #[test]
    fn what_the_next_connection_does_not_see_is_gone() {
        let copies = Copies::default();
        copies.put(key("a"), held("1", "1"));
        copies.put(key("b"), held("2", "2"));
        copies.set_listed(Kind::Service);
        copies.restart();
        assert_eq!(copies.listing(Kind::Service), Listing::Pending);
        assert!(
            copies.contains(&key("a")),
            "it stays known while there is no connection"
        );
        copies.put(key("b"), held("2", "2"));
        copies.put(key("c"), held("3", "3"));
        assert_eq!(copies.set_listed(Kind::Service), [key("a")]);
        assert!(!copies.contains(&key("a")) && copies.contains(&key("b")) && copies.contains(&key("c")));
    }

    #[test]
    fn what_is_kept_from_us_is_still_there() {
        let copies = Copies::default();
        copies.put(key("a"), held("1", "1"));
        assert!(copies.set_barred(Kind::Service, Bar::Denied).is_empty());
        assert!(copies.contains(&key("a")) && !copies.listing(Kind::Service).is_complete());
        assert_eq!(copies.set_barred(Kind::Service, Bar::Missing), [key("a")]);
        assert!(!copies.contains(&key("a")) && copies.listing(Kind::Service).is_complete());
    }
}
