//! Which labels occur in a shard at all.
//!
//! A pod that wants a label which no node of a target has need not be held against the target's classes one by one. With
//! 1,000 targets that is what nearly all of them are to a pod that wants a certain zone.

use std::hash::Hash;
use std::sync::LazyLock;

use ahash::RandomState;

use super::nodes::Class;

static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The hash of something that may be a fact. Made once a pod, looked up once a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact(u64);

impl Fact {
    /// Some node has this label, whatever its value.
    pub fn key(key: &str) -> Self {
        Self::new(&(key, None::<&str>))
    }

    /// Some node has this label with this value.
    pub fn label(key: &str, value: &str) -> Self {
        Self::new(&(key, Some(value)))
    }

    fn new(fact: &impl Hash) -> Self {
        Self(HASHER.hash_one(fact))
    }
}

/// A set of facts. It may claim one that is none (two hashes are equal once in 2^64), never deny one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Box<[Fact]>);

impl Facts {
    /// All labels of these classes.
    pub fn of(classes: &[Class]) -> Self {
        let labels = classes.iter().flat_map(Class::labels);
        let mut facts: Vec<_> = labels
            .flat_map(|(key, value)| [Fact::key(key), Fact::label(key, value)])
            .collect();
        facts.sort_unstable();
        facts.dedup();
        Self(facts.into())
    }

    /// Is this one of them?
    pub fn may_hold(&self, fact: Fact) -> bool {
        self.0.binary_search(&fact).is_ok()
    }
}
