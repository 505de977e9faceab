//! Equal values, kept once: the pods of one workload have the same labels and the same references.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Fewer values than these are not swept.
const FEW: usize = 64;

/// Values that somebody holds, each once.
#[derive(Debug)]
pub struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            sweep_at: FEW,
        }
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    /// The value that is equal to this one.
    pub fn get(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.values.get(&value) {
            return known.clone();
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = FEW.max(2 * self.values.len());
        }
        self.values.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let mut pool = Pool::default();
        let kept = pool.get(Arc::new(0));
        assert!(Arc::ptr_eq(&kept, &pool.get(Arc::new(0))));
        for value in 1..10_000 {
            pool.get(Arc::new(value));
        }
        assert!(pool.values.len() <= FEW, "{}", pool.values.len());
        assert!(Arc::ptr_eq(&kept, &pool.get(Arc::new(0))));
    }
}
