//! A pod's requests, made for comparing with what many nodes have.

use multicluster_api::resources::Resources;

use super::nodes::Shard;

/// Most copies of a pod that are counted on one node: a pod that requests nothing fits as often as pods are allowed.
const MOST_COPIES: i64 = 10_000;

/// A pod's requests. A request of zero is below every amount, also where a node is over-committed.
pub(super) struct Need<'a> {
    cpu: i64,
    memory: i64,
    ephemeral: i64,
    pods: i64,
    extended: Vec<(&'a str, i64)>,
}

/// An extended request, and the column of a shard that says how much of it each node has.
pub(super) type Columns<'a> = Vec<(i64, Option<&'a [i64]>)>;

/// A set of requested resources, by their position in a [`Need`].
pub(super) type Lacking = u64;

impl<'a> Need<'a> {
    pub fn of(requests: &'a Resources) -> Self {
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

    pub fn within(&self, free: &Resources) -> bool {
        self.lacking(free) == 0
    }

    pub fn lacking(&self, free: &Resources) -> Lacking {
        let amounts = [free.cpu_milli, free.memory, free.ephemeral_storage, free.pods];
        self.lacking_of(amounts, |name| free.get(name))
    }

    /// What a node lacks.
    pub fn lacking_at(&self, shard: &Shard, index: usize, columns: &Columns<'_>) -> Lacking {
        let own = self.lacking_of(shard.amounts(index), |_| i64::MAX);
        let extended = columns.iter().enumerate();
        extended.fold(own, |lacking, (position, (need, column))| {
            let lacks = column.is_none_or(|column| column[index] < *need);
            lacking | Lacking::from(lacks) << (position + 4).min(63)
        })
    }

    fn lacking_of(&self, amounts: [i64; 4], extended: impl Fn(&str) -> i64) -> Lacking {
        let own = [self.cpu, self.memory, self.ephemeral, self.pods];
        let own = own.into_iter().zip(amounts).map(|(need, free)| free < need);
        let others = self.extended.iter().map(|(name, need)| extended(name) < *need);
        // More than 60 extended resources share the last bit: enough to tell that one is lacking.
        let bits = own.chain(others).enumerate();
        bits.fold(0, |lacking, (position, lacks)| {
            lacking | Lacking::from(lacks) << position.min(63)
        })
    }

    /// Names of a set of resources.
    pub fn names(&self, lacking: Lacking) -> impl Iterator<Item = &'a str> {
        let own = ["cpu", "memory", "ephemeral-storage", "pods"].into_iter();
        let names = own.chain(self.extended.iter().map(|(name, _)| *name)).enumerate();
        names
            .filter(move |(position, _)| lacking >> position.min(&63) & 1 == 1)
            .map(|(_, name)| name)
    }

    pub fn columns<'s>(&self, shard: &'s Shard) -> Columns<'s> {
        self.extended
            .iter()
            .map(|(name, amount)| (*amount, shard.column(name)))
            .collect()
    }

    /// How many copies a node takes.
    pub fn copies_at(&self, shard: &Shard, index: usize, columns: &Columns<'_>) -> i64 {
        let others = columns
            .iter()
            .map(|(need, column)| (*need, column.map_or(0, |column| column[index])));
        self.least(shard.amounts(index), others)
    }

    /// How many copies this amount takes.
    pub fn copies_in(&self, free: &Resources) -> i64 {
        let amounts = [free.cpu_milli, free.memory, free.ephemeral_storage, free.pods];
        self.least(
            amounts,
            self.extended.iter().map(|(name, need)| (*need, free.get(name))),
        )
    }

    fn least(&self, amounts: [i64; 4], others: impl Iterator<Item = (i64, i64)>) -> i64 {
        let own = [self.cpu, self.memory, self.ephemeral, self.pods]
            .into_iter()
            .zip(amounts);
        let mut copies = MOST_COPIES;
        for (need, free) in own.chain(others).filter(|(need, _)| *need > 0) {
            if free < need {
                return 0;
            }
            // A division costs more than all else here, and seldom is the next resource the scarcer one.
            if i128::from(need) * i128::from(copies) > i128::from(free) {
                copies = free / need;
            }
        }
        copies
    }
}

/// How many copies of the pod an amount takes, without looking at nodes.
pub fn copies_within(requests: &Resources, free: &Resources) -> i64 {
    Need::of(requests).copies_in(free)
}
