//! What is told on the source's objects: each thing once, as long as it lasts.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use crate::source::following::object::ObjectKey;

/// Something to tell: reason and note of an event.
pub type Notice = (&'static str, String);

/// Some annotations cannot be used, or a host is none.
pub const INVALID: &str = "DNSPolicyInvalid";
/// Another object has a name.
pub const NAME_TAKEN: &str = "DNSNameTaken";
/// Not every cluster that serves has a record.
pub const LEFT_OUT: &str = "DNSRecordsLeftOut";
/// An object that is not ours has the name of one that we would make.
pub const OBJECT_TAKEN: &str = "ObjectNameTaken";
/// A controller of the source writes the status.
pub const STATUS_TAKEN: &str = "StatusOwnedByOther";
/// Writing fails again and again.
pub const FAILED: &str = "ExposureFailed";

/// What was told.
#[derive(Debug, Default)]
pub struct Notices(Mutex<BTreeMap<ObjectKey, BTreeSet<Notice>>>);

impl Notices {
    /// These things are so now. Returns what was not told yet.
    pub fn news(&self, key: &ObjectKey, now: impl IntoIterator<Item = Notice>) -> Vec<Notice> {
        let now: BTreeSet<_> = now.into_iter().collect();
        let mut all = self.0.lock();
        let before = match now.is_empty() {
            true => all.remove(key),
            false => all.insert(key.clone(), now.clone()),
        };
        now.difference(&before.unwrap_or_default()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::following::object::Kind;

    #[test]
    fn what_lasts_is_told_once_and_what_comes_back_again() {
        let (notices, key) = (Notices::default(), ObjectKey::new(Kind::Ingress, "default", "web"));
        let notice = |note: &str| (INVALID, note.to_owned());
        assert_eq!(notices.news(&key, [notice("a")]), [notice("a")]);
        assert_eq!(notices.news(&key, [notice("b"), notice("a")]), [notice("b")]);
        assert_eq!(notices.news(&key, []), []);
        assert_eq!(notices.news(&key, [notice("a")]), [notice("a")]);
    }
}
