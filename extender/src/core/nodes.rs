//! A target's nodes, packed for scanning.
//!
//! A [`Shard`] holds what one NodeSummary says, as one array for each resource. Nodes whose labels (apart from the
//! hostname), taints and cordon are equal form a [`Class`] and lie side by side: what a pod demands of labels and taints is
//! judged once a class, and the largest free amounts in it tell whether looking at its nodes is worth while.

use std::ops::Range;

use ahash::AHashMap;
use k8s_openapi::api::core::v1::Taint;
use multicluster_api::names::HOSTNAME;
use multicluster_api::resources::Resources;
use multicluster_api::{NodeEntry, NodeSummary};

use super::facts::Facts;

/// A taint that keeps pods away (NoSchedule or NoExecute).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeTaint {
    /// The taint's key.
    pub key: Box<str>,
    /// The taint's value, possibly empty.
    pub value: Box<str>,
    /// NoSchedule or NoExecute.
    pub effect: Box<str>,
}

impl std::fmt::Display for NodeTaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.value {
            "" => write!(f, "{{{}:{}}}", self.key, self.effect),
            value => write!(f, "{{{}={value}:{}}}", self.key, self.effect),
        }
    }
}

/// Nodes that no pod can tell apart, but for their name and what is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Sorted by key, without the hostname.
    labels: Box<[(Box<str>, Box<str>)]>,
    /// Taints that keep pods away.
    pub taints: Box<[NodeTaint]>,
    /// The nodes are cordoned.
    pub unschedulable: bool,
    /// Where its nodes lie in the shard's arrays.
    pub range: Range<usize>,
    /// The most that any of its nodes has free, resource by resource.
    pub max_free: Resources,
    /// The most that any of its nodes can ever have free.
    pub max_allocatable: Resources,
}

impl Class {
    /// Labels in order, without the hostname.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (&**key, &**value))
    }

    /// A label's value; the hostname is none of the class's labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        let found = self.labels.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&self.labels[found].1)
    }

    fn looks_like(&self, other: &Self) -> bool {
        self.labels == other.labels && self.taints == other.taints && self.unschedulable == other.unschedulable
    }
}

/// What one NodeSummary says, packed. Index `i` of each array is the same node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// All changes of pods up to this resourceVersion are counted; `None` when it is no number.
    pub pods_resource_version: Option<u64>,
    /// The classes, which cover the arrays without a gap.
    pub classes: Vec<Class>,
    /// Labels that any class has.
    pub facts: Facts,
    names: Vec<Box<str>>,
    /// Hostname labels that differ from the node's name (`None`: no such label).
    hostnames: AHashMap<u32, Option<Box<str>>>,
    by_name: Vec<u32>,
    cpu: Vec<i64>,
    memory: Vec<i64>,
    ephemeral: Vec<i64>,
    pods: Vec<i64>,
    extended: Vec<(Box<str>, Vec<i64>)>,
    /// Allocatable CPU and memory, for the choice of the least allocated node.
    allocatable: Vec<(i64, i64)>,
}

impl Shard {
    /// Pack a summary. A node with an amount that cannot be read counts as full.
    pub fn new(summary: &NodeSummary) -> Self {
        let mut groups: AHashMap<ClassKey<'_>, Vec<&NodeEntry>> = AHashMap::new();
        for node in &summary.spec.nodes {
            groups.entry(ClassKey::of(node)).or_default().push(node);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|a, b| a.1[0].name.cmp(&b.1[0].name));
        let mut shard = Self {
            pods_resource_version: summary.spec.pods_resource_version.parse().ok(),
            ..Self::default()
        };
        for (key, nodes) in groups {
            shard.push_class(key, &nodes);
        }
        shard.facts = Facts::of(&shard.classes);
        shard.by_name = (0..shard.names.len() as u32).collect();
        let names = &shard.names;
        shard
            .by_name
            .sort_by(|a, b| names[*a as usize].cmp(&names[*b as usize]));
        shard
    }

    fn push_class(&mut self, key: ClassKey<'_>, nodes: &[&NodeEntry]) {
        let start = self.names.len();
        let (mut max_free, mut max_allocatable) = (lowest(), Resources::default());
        for node in nodes {
            let allocatable = Resources::parse(&node.allocatable).unwrap_or_default();
            let mut free = allocatable.clone();
            match Resources::parse(&node.requested) {
                Ok(requested) => free.sub(&requested),
                Err(_) => free = Resources::default(),
            }
            max_free.max(&free);
            max_allocatable.max(&allocatable);
            self.push_node(node, &free, &allocatable);
        }
        self.classes
            .push(key.into_class(start..self.names.len(), max_free, max_allocatable));
    }

    fn push_node(&mut self, node: &NodeEntry, free: &Resources, allocatable: &Resources) {
        let index = self.names.len();
        let hostname = node.labels.get(HOSTNAME);
        if hostname != Some(&node.name) {
            self.hostnames
                .insert(index as u32, hostname.map(|name| name.as_str().into()));
        }
        self.names.push(node.name.as_str().into());
        self.cpu.push(free.cpu_milli);
        self.memory.push(free.memory);
        self.ephemeral.push(free.ephemeral_storage);
        self.pods.push(free.pods);
        self.allocatable.push((allocatable.cpu_milli, allocatable.memory));
        for name in free.extended.keys() {
            if !self.extended.iter().any(|(known, _)| **known == **name) {
                self.extended.push((name.as_str().into(), vec![0; index]));
            }
        }
        for (name, column) in &mut self.extended {
            column.push(free.get(name));
        }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// No nodes at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// A node's name.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// A node's hostname label.
    pub fn hostname(&self, index: usize) -> Option<&str> {
        match self.hostnames.get(&(index as u32)) {
            Some(other) => other.as_deref(),
            None => Some(&self.names[index]),
        }
    }

    /// Where a node lies in the arrays.
    pub fn find(&self, name: &str) -> Option<usize> {
        let found = self
            .by_name
            .binary_search_by(|index| (*self.names[*index as usize]).cmp(name))
            .ok()?;
        Some(self.by_name[found] as usize)
    }

    /// Is there a node with this hostname label?
    pub fn has_hostname(&self, hostname: &str) -> bool {
        self.find(hostname).is_some() || self.hostnames.values().flatten().any(|other| **other == *hostname)
    }

    /// What a node has free.
    pub fn free(&self, index: usize) -> Resources {
        Resources {
            cpu_milli: self.cpu[index],
            memory: self.memory[index],
            ephemeral_storage: self.ephemeral[index],
            pods: self.pods[index],
            extended: self
                .extended
                .iter()
                .map(|(name, column)| (name.to_string(), column[index]))
                .collect(),
        }
    }

    /// Could a pod fit here that did not fit `before`? True when a node is new, has more free, or looks otherwise.
    pub fn grew_since(&self, before: &Self) -> bool {
        self.classes.iter().any(|class| {
            class.range.clone().any(|index| {
                let Some(old) = before.find(self.name(index)) else {
                    return true;
                };
                let same_class = before.classes.iter().find(|c| c.range.contains(&old));
                !same_class.is_some_and(|old_class| old_class.looks_like(class))
                    || self.cpu[index] > before.cpu[old]
                    || self.memory[index] > before.memory[old]
                    || self.ephemeral[index] > before.ephemeral[old]
                    || self.pods[index] > before.pods[old]
                    || self
                        .extended
                        .iter()
                        .any(|(name, column)| column[index] > before.extended_at(name, old))
            })
        })
    }

    /// CPU, memory, ephemeral storage and pods that a node has free.
    pub(super) fn amounts(&self, index: usize) -> [i64; 4] {
        [
            self.cpu[index],
            self.memory[index],
            self.ephemeral[index],
            self.pods[index],
        ]
    }

    /// How much of a node is free, CPU and memory together, in thousandths, as NodeResourcesFit's LeastAllocated scores.
    pub(super) fn free_share(&self, index: usize, taken: Option<&Resources>) -> i64 {
        let (cpu, memory) = self.allocatable[index];
        let (taken_cpu, taken_memory) = taken.map_or((0, 0), |taken| (taken.cpu_milli, taken.memory));
        let share = |free: i64, of: i64| match of {
            ..=0 => 0,
            // A node may claim to have more free than it has.
            of => (i128::from(free) * 1000 / i128::from(of)).clamp(-1000, 1000) as i64,
        };
        share(self.cpu[index].saturating_sub(taken_cpu), cpu)
            + share(self.memory[index].saturating_sub(taken_memory), memory)
    }

    pub(super) fn column(&self, name: &str) -> Option<&[i64]> {
        self.extended
            .iter()
            .find(|(known, _)| **known == *name)
            .map(|(_, column)| column.as_slice())
    }

    fn extended_at(&self, name: &str, index: usize) -> i64 {
        self.column(name).map_or(0, |column| column[index])
    }
}

/// Below every amount, so that the maximum over nodes that are over-committed stays negative.
fn lowest() -> Resources {
    Resources {
        cpu_milli: i64::MIN,
        memory: i64::MIN,
        ephemeral_storage: i64::MIN,
        pods: i64::MIN,
        ..Resources::default()
    }
}

#[derive(PartialEq, Eq, Hash)]
struct ClassKey<'a> {
    labels: Vec<(&'a str, &'a str)>,
    taints: Vec<(&'a str, &'a str, &'a str)>,
    unschedulable: bool,
}

impl<'a> ClassKey<'a> {
    fn of(node: &'a NodeEntry) -> Self {
        // The hostname differs from node to node.
        let labels = node.labels.iter().filter(|(key, _)| *key != HOSTNAME);
        let repels = |taint: &&Taint| taint.effect != "PreferNoSchedule";
        let taint = |taint: &'a Taint| (&*taint.key, taint.value.as_deref().unwrap_or_default(), &*taint.effect);
        Self {
            labels: labels.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            taints: node.taints.iter().filter(repels).map(taint).collect(),
            unschedulable: node.unschedulable,
        }
    }

    fn into_class(self, range: Range<usize>, max_free: Resources, max_allocatable: Resources) -> Class {
        let taint = |(key, value, effect): (&str, &str, &str)| NodeTaint {
            key: key.into(),
            value: value.into(),
            effect: effect.into(),
        };
        Class {
            labels: self
                .labels
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            taints: self.taints.into_iter().map(taint).collect(),
            unschedulable: self.unschedulable,
            range,
            max_free,
            max_allocatable,
        }
    }
}
