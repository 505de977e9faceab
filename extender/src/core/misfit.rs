//! Why no node of a target takes a pod: of all reasons, the one to tell.

use std::collections::BTreeSet;

use multicluster_api::resources::Resources;

use super::constraints::Mismatch;
use super::fit::{Query, less};
use super::need::Lacking;
use super::nodes::{Class, NodeTaint, Shard};

/// Why no node takes the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The target has no nodes.
    NoNodes,
    /// nodeSelector or required node affinity matches no node.
    Affinity,
    /// All nodes that match are cordoned.
    Cordoned,
    /// Nodes that match have a taint that the pod does not tolerate.
    Taint(NodeTaint),
    /// These resources are short just now.
    Short(BTreeSet<String>),
    /// No permitted node ever has as much of this resource, however empty.
    TooLarge(String),
}

/// Reasons, collected while looking for a node.
#[derive(Default)]
pub(super) struct Reasons<'a> {
    mismatch: Option<Mismatch<'a>>,
    admitted: Vec<(&'a Shard, &'a Class)>,
}

impl<'a> Reasons<'a> {
    /// No node of this shard matches.
    pub fn nothing_matches(&mut self, shard: &Shard) {
        if !shard.is_empty() {
            self.mismatch(Mismatch::Affinity);
        }
    }

    /// A class is forbidden. The reason that comes nearer to fitting stays: a taint or cordon on a node that matches.
    pub fn mismatch(&mut self, new: Mismatch<'a>) {
        self.mismatch = Some(match self.mismatch {
            None | Some(Mismatch::Affinity) => new,
            Some(Mismatch::Unschedulable) if matches!(new, Mismatch::Taint(_)) => new,
            Some(before) => before,
        });
    }

    /// A class is allowed, but none of its nodes has room, or the wanted name.
    pub fn admitted(&mut self, shard: &'a Shard, class: &'a Class) {
        self.admitted.push((shard, class));
    }

    /// The reason to tell.
    pub fn misfit(mut self, query: &Query<'_>) -> Misfit {
        let any_admitted = !self.admitted.is_empty();
        if query.wanted.constraints.by_node() {
            let permits = |shard: &Shard, class: &Class| class.range.clone().any(|i| query.permits(shard, class, i));
            self.admitted.retain(|(shard, class)| permits(shard, class));
        }
        match (self.admitted.is_empty(), any_admitted, self.mismatch) {
            (false, ..) => self.shortage(query),
            (true, true, _) | (true, _, Some(Mismatch::Affinity)) => Misfit::Affinity,
            (true, _, Some(Mismatch::Unschedulable)) => Misfit::Cordoned,
            (true, _, Some(Mismatch::Taint(taint))) => Misfit::Taint(taint.clone()),
            (true, _, None) => Misfit::NoNodes,
        }
    }

    fn shortage(&self, query: &Query<'_>) -> Misfit {
        let mut most = Resources::default();
        self.admitted
            .iter()
            .for_each(|(_, class)| most.max(&class.max_allocatable));
        if let Some(name) = query.need.names(query.need.lacking(&most)).next() {
            return Misfit::TooLarge(name.to_owned());
        }
        // What every node lacks; or, where each lacks something else, what any of them lacks.
        let every = self
            .admitted
            .iter()
            .map(|(_, class)| query.need.lacking(&class.max_free));
        let short = match every.fold(Lacking::MAX, |every, lacking| every & lacking) {
            0 => self.lacking_anywhere(query),
            every => every,
        };
        Misfit::Short(query.need.names(short).map(str::to_owned).collect())
    }

    fn lacking_anywhere(&self, query: &Query<'_>) -> Lacking {
        let mut any = 0;
        for (shard, class) in &self.admitted {
            let columns = query.need.columns(shard);
            for index in class.range.clone().filter(|index| query.permits(shard, class, *index)) {
                any |= match query.taken(shard, index) {
                    None => query.need.lacking_at(shard, index, &columns),
                    Some(taken) => query.need.lacking(&less(shard, index, taken)),
                };
            }
        }
        any
    }
}
