//! Equal values, kept once: the pods of a Deployment have the same labels and use the same files.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// A pool of values.
#[derive(Debug)]
pub struct Pool<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// At this size those that nobody else holds are dropped.
    sweep_at: usize,
}

/// A pool that is smaller is not worth a sweep.
const SMALL: usize = 256;

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            sweep_at: SMALL,
        }
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    /// The one that equals this value: what is known, or the value itself from now on.
    pub fn get(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.known.get(&value) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = (self.known.len() * 2).max(SMALL);
        }
        self.known.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_what_nobody_holds_goes() {
        let mut pool = Pool::<str>::default();
        let a = pool.get("a".into());
        assert!(Arc::ptr_eq(&a, &pool.get("a".into())));
        for number in 0..SMALL * 10 {
            pool.get(number.to_string().into());
        }
        assert!(pool.known.len() <= SMALL);
        assert!(Arc::ptr_eq(&a, &pool.get("a".into())));
    }
}
