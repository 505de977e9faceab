//! Errors that last: told once, not at every attempt.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// An error that has lasted for so long is worth an event; most are over sooner.
const LASTING: Duration = Duration::from_secs(30);

/// Objects that are in trouble, since when, and whether it was told.
#[derive(Debug)]
pub struct Troubles<K>(Mutex<HashMap<K, (Instant, bool)>>);

impl<K> Default for Troubles<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Troubles<K> {
    /// The work on this object has failed. Is it time to tell?
    pub fn failed(&self, key: K, now: Instant) -> bool {
        let mut all = self.0.lock();
        let (since, told) = all.entry(key).or_insert((now, false));
        now.duration_since(*since) >= LASTING && !std::mem::replace(told, true)
    }

    /// It went well, or there is nothing left to do.
    pub fn over(&self, key: &K) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_once() {
        let (troubles, start) = (Troubles::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!troubles.failed("a", at(0)));
        assert!(!troubles.failed("a", at(29)));
        assert!(troubles.failed("a", at(31)));
        assert!(!troubles.failed("a", at(60)));
        troubles.over(&"a");
        assert!(!troubles.failed("a", at(70)));
    }
}
