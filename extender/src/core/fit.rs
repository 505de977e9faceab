//! Would a node of a target take this pod? How many more of its kind?
//!
//! Follows the stock plugin NodeResourcesFit: a resource of which nothing is requested always fits, and pods count.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use ahash::AHashMap;
use multicluster_api::resources::Resources;

use super::constraints::{Constraints, Mismatch};
use super::nodes::{Class, Shard};
use super::pod::Wanted;

/// Requests of pods on their way to nodes, which the summaries do not show yet.
pub type Overlay = AHashMap<Box<str>, Resources>;

/// Most copies of a pod that are counted on one node: a pod that requests nothing fits as often as pods are allowed.
const MOST_COPIES: i64 = 10_000;

/// Why no node takes the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The target has no nodes.
    NoNodes,
    /// Labels, taints or cordons forbid every node.
    Forbidden(Mismatch),
    /// These resources are short just now.
    Short(BTreeSet<String>),
    /// No permitted node ever has as much of this resource, however empty.
    TooLarge(String),
}

/// The NodeSummary shards of one target, by name.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    shards: BTreeMap<String, Shard>,
}

impl Nodes {
    /// Put a shard in the place of its last version. Returns whether a pod could fit now that did not fit before.
    pub fn apply(&mut self, name: String, shard: Shard) -> bool {
        match self.shards.insert(name, shard.clone()) {
            Some(before) => shard.grew_since(&before),
            None => !shard.is_empty(),
        }
    }

    /// Forget a shard.
    pub fn remove(&mut self, name: &str) {
        self.shards.remove(name);
    }

    /// Forget all shards that `keep` does not name.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.shards.retain(|name, _| keep(name));
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.shards.values().map(Shard::len).sum()
    }

    /// No nodes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        let need = Need::of(&wanted.requests);
        let mut admitted = Vec::new();
        let mut mismatch = None;
        for shard in self.shards.values() {
            for class in &shard.classes {
                match wanted.constraints.admits(class) {
                    Err(reason) => mismatch = Some(stronger(mismatch, reason)),
                    Ok(()) => {
                        if need.within(&class.max_free)
                            && fitting(shard, class, &wanted.constraints, &need, overlay)
                                .next()
                                .is_some()
                        {
                            return Ok(());
                        }
                        admitted.push((shard, class));
                    }
                }
            }
        }
        Err(self.misfit(wanted, overlay, &admitted, mismatch))
    }

    /// The fitting node that the target's own scheduler would most likely choose: the least allocated one.
    pub fn choose(&self, wanted: &Wanted, overlay: &Overlay) -> Option<&str> {
        let need = Need::of(&wanted.requests);
        let candidates = self.shards.values().flat_map(|shard| {
            let admitted = shard
                .classes
                .iter()
                .filter(|class| wanted.constraints.admits(class).is_ok());
            admitted
                .filter(|class| need.within(&class.max_free))
                .flat_map(|class| fitting(shard, class, &wanted.constraints, &need, overlay))
                .map(move |index| (shard, index))
        });
        let best = candidates.max_by_key(|(shard, index)| shard.free_share(*index, overlay.get(shard.name(*index))))?;
        Some(best.0.name(best.1))
    }

    /// How many copies of the pod would fit.
    pub fn copies(&self, wanted: &Wanted, overlay: &Overlay) -> i64 {
        let need = Need::of(&wanted.requests);
        let mut total = 0i64;
        for shard in self.shards.values() {
            let extended = need.columns(shard);
            for class in &shard.classes {
                if !need.within(&class.max_free) || wanted.constraints.admits(class).is_err() {
                    continue;
                }
                let permitted = class
                    .range
                    .clone()
                    .filter(|index| single(shard, class, &wanted.constraints, *index));
                for index in permitted {
                    total += match overlay.is_empty() {
                        true => need.copies(shard, index, &extended),
                        false => match overlay.get(shard.name(index)) {
                            None => need.copies(shard, index, &extended),
                            Some(taken) => need.copies_in(&less(shard, index, taken)),
                        },
                    };
                }
            }
        }
        total
    }

    fn misfit(
        &self,
        wanted: &Wanted,
        overlay: &Overlay,
        admitted: &[(&Shard, &Class)],
        mismatch: Option<Mismatch>,
    ) -> Misfit {
        let mut nodes = Vec::new();
        for (shard, class) in admitted {
            let permitted = class
                .range
                .clone()
                .filter(|index| single(shard, class, &wanted.constraints, *index));
            nodes.extend(permitted.map(|index| (*shard, *class, index)));
        }
        if nodes.is_empty() {
            return match mismatch {
                None if admitted.is_empty() => Misfit::NoNodes,
                // The classes would do, but none of their nodes has the wanted name.
                _ if !admitted.is_empty() => Misfit::Forbidden(Mismatch::Affinity),
                Some(reason) => Misfit::Forbidden(reason),
                None => Misfit::NoNodes,
            };
        }
        let mut most = Resources::default();
        nodes.iter().for_each(|(_, class, _)| most.max(&class.max_allocatable));
        if let Some(name) = wanted.requests.lacking(&most).next() {
            return Misfit::TooLarge(name.to_owned());
        }
        // Short: what every node lacks; or, where each lacks something else, what any of them lacks.
        let mut any = BTreeSet::new();
        let mut all: Option<BTreeSet<String>> = None;
        for (shard, _, index) in nodes {
            let free = match overlay.get(shard.name(index)) {
                None => shard.free(index),
                Some(taken) => less(shard, index, taken),
            };
            let lacking: BTreeSet<String> = wanted.requests.lacking(&free).map(str::to_owned).collect();
            all = Some(match all {
                None => lacking.clone(),
                Some(all) => all.intersection(&lacking).cloned().collect(),
            });
            any.extend(lacking);
        }
        Misfit::Short(all.filter(|all| !all.is_empty()).unwrap_or(any))
    }
}

/// Of two reasons, the one whose cause comes nearer to fitting: a taint or cordon on a node that the affinity accepts.
fn stronger(before: Option<Mismatch>, new: Mismatch) -> Mismatch {
    match before {
        None | Some(Mismatch::Affinity) => new,
        Some(Mismatch::Unschedulable) if matches!(new, Mismatch::Taint(_)) => new,
        Some(before) => before,
    }
}

fn single(shard: &Shard, class: &Class, constraints: &Constraints, index: usize) -> bool {
    !constraints.by_node() || constraints.admits_node(class, shard.name(index), shard.hostname(index))
}

/// Nodes of a class that have enough free and that the pod accepts.
fn fitting<'a>(
    shard: &'a Shard,
    class: &'a Class,
    constraints: &'a Constraints,
    need: &'a Need<'a>,
    overlay: &'a Overlay,
) -> impl Iterator<Item = usize> + 'a {
    let extended = need.columns(shard);
    class.range.clone().filter(move |index| {
        let index = *index;
        shard.cpu[index] >= need.cpu
            && shard.memory[index] >= need.memory
            && shard.pods[index] >= need.pods
            && shard.ephemeral[index] >= need.ephemeral
            && extended
                .iter()
                .all(|(amount, column)| column.is_some_and(|column| column[index] >= *amount))
            && single(shard, class, constraints, index)
            && (overlay.is_empty()
                || overlay
                    .get(shard.name(index))
                    .is_none_or(|taken| need.within(&less(shard, index, taken))))
    })
}

fn less(shard: &Shard, index: usize, taken: &Resources) -> Resources {
    let mut free = shard.free(index);
    free.sub(taken);
    free
}

/// A pod's requests, made for comparing: a request of zero is below every amount.
struct Need<'a> {
    cpu: i64,
    memory: i64,
    ephemeral: i64,
    pods: i64,
    extended: Vec<(&'a str, i64)>,
}

/// An extended request, and the column that says how much of it each node has.
type Columns<'a> = Vec<(i64, Option<&'a [i64]>)>;

impl<'a> Need<'a> {
    fn of(requests: &'a Resources) -> Self {
        let some = |amount: i64| if amount > 0 { amount } else { i64::MIN };
        let extended = requests.extended.iter().filter(|(_, amount)| **amount > 0);
        Self {
            cpu: some(requests.cpu_milli),
            memory: some(requests.memory),
            ephemeral: some(requests.ephemeral_storage),
            pods: some(requests.pods),
            extended: extended.map(|(name, amount)| (name.as_str(), *amount)).collect(),
        }
    }

    fn within(&self, free: &Resources) -> bool {
        free.cpu_milli >= self.cpu
            && free.memory >= self.memory
            && free.ephemeral_storage >= self.ephemeral
            && free.pods >= self.pods
            && self.extended.iter().all(|(name, amount)| free.get(name) >= *amount)
    }

    fn columns<'s>(&self, shard: &'s Shard) -> Columns<'s> {
        self.extended
            .iter()
            .map(|(name, amount)| (*amount, shard.column(name)))
            .collect()
    }

    fn copies(&self, shard: &Shard, index: usize, extended: &Columns<'_>) -> i64 {
        let own = [
            (self.cpu, shard.cpu[index]),
            (self.memory, shard.memory[index]),
            (self.ephemeral, shard.ephemeral[index]),
            (self.pods, shard.pods[index]),
        ];
        let others = extended
            .iter()
            .map(|(need, column)| (*need, column.map_or(0, |column| column[index])));
        least(own.into_iter().chain(others))
    }

    fn copies_in(&self, free: &Resources) -> i64 {
        let own = [
            (self.cpu, free.cpu_milli),
            (self.memory, free.memory),
            (self.ephemeral, free.ephemeral_storage),
            (self.pods, free.pods),
        ];
        least(
            own.into_iter()
                .chain(self.extended.iter().map(|(name, need)| (*need, free.get(name)))),
        )
    }
}

/// How often all needs fit. Most nodes need no more than two divisions for that.
fn least(needs: impl Iterator<Item = (i64, i64)>) -> i64 {
    let mut copies = MOST_COPIES;
    for (need, free) in needs.filter(|(need, _)| *need > 0) {
        if free < need {
            return 0;
        }
        if free / need < copies {
            copies = free / need;
        }
    }
    copies
}

/// How many copies of the pod an amount takes, without looking at nodes.
pub fn copies_within(requests: &Resources, free: &Resources) -> i64 {
    Need::of(requests).copies_in(free)
}

impl Shard {
    /// How much of a node is free, CPU and memory together, in thousandths, as NodeResourcesFit's LeastAllocated scores.
    fn free_share(&self, index: usize, taken: Option<&Resources>) -> i64 {
        let (cpu, memory) = self.allocatable[index];
        let (taken_cpu, taken_memory) = taken.map_or((0, 0), |taken| (taken.cpu_milli, taken.memory));
        let share = |free: i64, of: i64| {
            if of > 0 {
                (i128::from(free) * 1000 / i128::from(of)) as i64
            } else {
                0
            }
        };
        share(self.cpu[index].saturating_sub(taken_cpu), cpu)
            + share(self.memory[index].saturating_sub(taken_memory), memory)
    }
}
