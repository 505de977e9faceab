//! Would a node of a target take this pod? How many more of its kind?
//!
//! Follows the stock plugin NodeResourcesFit: a resource of which nothing is requested always fits, and pods count.

use std::collections::BTreeMap;

use ahash::AHashMap;
use multicluster_api::resources::Resources;

use super::misfit::{Misfit, Reasons};
use super::need::{Columns, Need};
use super::nodes::{Class, Shard};
use super::pod::Wanted;

/// Requests of pods on their way to nodes, which the summaries do not show yet.
pub type Overlay = AHashMap<Box<str>, Resources>;

/// The NodeSummary shards of one target, by name.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    shards: BTreeMap<String, Shard>,
}

/// A pod that is being held against nodes.
pub(super) struct Query<'a> {
    pub wanted: &'a Wanted,
    pub need: Need<'a>,
    pub overlay: &'a Overlay,
}

impl Nodes {
    /// Put a shard in the place of its last version. Returns whether a pod could fit now that did not fit before.
    pub fn apply(&mut self, name: String, shard: Shard) -> bool {
        let grew = match self.shards.get(&name) {
            Some(before) => shard.grew_since(before),
            None => !shard.is_empty(),
        };
        self.shards.insert(name, shard);
        grew
    }

    /// Forget a shard.
    pub fn remove(&mut self, name: &str) {
        self.shards.remove(name);
    }

    /// Forget all shards but those that `keep` wants.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.shards.retain(|name, _| keep(name));
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.shards.values().map(Shard::len).sum()
    }

    /// No nodes at all.
    pub fn is_empty(&self) -> bool {
        self.shards.values().all(Shard::is_empty)
    }

    /// Does the summary with this node count all pods up to `resource_version`?
    pub fn counts(&self, node: &str, resource_version: u64) -> bool {
        let shard = self.shards.values().find(|shard| shard.find(node).is_some());
        shard
            .and_then(|shard| shard.pods_resource_version)
            .is_some_and(|seen| seen >= resource_version)
    }

    /// Is there a node for the pod? If not, why.
    pub fn fits(&self, wanted: &Wanted, overlay: &Overlay) -> Result<(), Misfit> {
        let query = Query::new(wanted, overlay);
        let mut reasons = Reasons::default();
        for shard in self.shards.values() {
            if !wanted.constraints.may_match(shard) {
                reasons.nothing_matches(shard);
                continue;
            }
            let columns = query.need.columns(shard);
            for class in &shard.classes {
                match wanted.constraints.admits(class) {
                    Err(mismatch) => reasons.mismatch(mismatch),
                    Ok(()) if query.fitting(shard, class, &columns).next().is_some() => return Ok(()),
                    Ok(()) => reasons.admitted(shard, class),
                }
            }
        }
        Err(reasons.misfit(&query))
    }

    /// The fitting node that the target's own scheduler would most likely choose: the least allocated one.
    pub fn choose(&self, wanted: &Wanted, overlay: &Overlay) -> Option<&str> {
        let query = Query::new(wanted, overlay);
        let mut best: Option<(i64, &str)> = None;
        for (shard, class, columns) in self.admitted(&query) {
            for index in query.fitting(shard, class, &columns) {
                let name = shard.name(index);
                let share = shard.free_share(index, overlay.get(name));
                if best.is_none_or(|(most, _)| share > most) {
                    best = Some((share, name));
                }
            }
        }
        best.map(|(_, name)| name)
    }

    /// How many copies of the pod would fit.
    pub fn copies(&self, wanted: &Wanted, overlay: &Overlay) -> i64 {
        let query = Query::new(wanted, overlay);
        let admitted = self
            .admitted(&query)
            .filter(|(_, class, _)| query.need.within(&class.max_free));
        let copies = admitted.map(|(shard, class, columns)| {
            let permitted = class.range.clone().filter(|index| query.permits(shard, class, *index));
            permitted.map(|index| query.copies(shard, index, &columns)).sum::<i64>()
        });
        copies.sum()
    }

    /// How many copies of the pod would fit if the target were empty, as if all nodes of a class were as large as its
    /// largest one.
    pub fn capacity(&self, wanted: &Wanted, overlay: &Overlay) -> i64 {
        let query = Query::new(wanted, overlay);
        let copies = self.admitted(&query).map(|(_, class, _)| {
            let each = query.need.copies_in(&class.max_allocatable);
            each.saturating_mul(class.range.len() as i64)
        });
        copies.sum()
    }

    fn admitted<'s, 'q, 'w>(
        &'s self,
        query: &'q Query<'w>,
    ) -> impl Iterator<Item = (&'s Shard, &'s Class, Columns<'s>)> {
        let constraints = &query.wanted.constraints;
        let shards = self.shards.values().filter(|shard| constraints.may_match(shard));
        shards.flat_map(move |shard| {
            let classes = shard.classes.iter().filter(|class| constraints.admits(class).is_ok());
            classes.map(move |class| (shard, class, query.need.columns(shard)))
        })
    }
}

impl<'a> Query<'a> {
    fn new(wanted: &'a Wanted, overlay: &'a Overlay) -> Self {
        Self {
            wanted,
            need: Need::of(&wanted.requests),
            overlay,
        }
    }

    /// Nodes of a class that have enough free and that the pod accepts.
    fn fitting(&self, shard: &Shard, class: &Class, columns: &Columns<'_>) -> impl Iterator<Item = usize> {
        let range = match self.need.within(&class.max_free) {
            true => class.range.clone(),
            false => 0..0,
        };
        range.filter(move |index| {
            self.need.lacking_at(shard, *index, columns) == 0
                && self.permits(shard, class, *index)
                && self
                    .taken(shard, *index)
                    .is_none_or(|taken| self.need.within(&less(shard, *index, taken)))
        })
    }

    /// Does the pod accept this node of a class that it admits?
    pub fn permits(&self, shard: &Shard, class: &Class, index: usize) -> bool {
        let constraints = &self.wanted.constraints;
        !constraints.by_node() || constraints.admits_node(class, shard.name(index), shard.hostname(index))
    }

    /// What pods on their way will take of a node.
    pub fn taken(&self, shard: &Shard, index: usize) -> Option<&'a Resources> {
        match self.overlay.is_empty() {
            true => None,
            false => self.overlay.get(shard.name(index)),
        }
    }

    fn copies(&self, shard: &Shard, index: usize, columns: &Columns<'_>) -> i64 {
        match self.taken(shard, index) {
            None => self.need.copies_at(shard, index, columns),
            Some(taken) => self.need.copies_in(&less(shard, index, taken)),
        }
    }
}

/// What a node has free when `taken` is gone.
pub(super) fn less(shard: &Shard, index: usize, taken: &Resources) -> Resources {
    let mut free = shard.free(index);
    free.sub(taken);
    free
}
