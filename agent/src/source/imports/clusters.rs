//! The set of clusters that an exported Service is seen in (KEP-1645 says ClusterSet): the source, and its targets.
//!
//! Several targets may lead to one cluster, and a target to the source itself. What counts here are clusters: each gets
//! one import, which one of the ways to it looks after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use multicluster_api::virtual_node::short_hash;

use super::network::Network;

/// Longest label of a name in DNS (RFC 1123).
const MAX_LABEL: usize = 63;
const HASH_DIGITS: usize = 8;

/// What a cluster is called in imports: a DNS label, since it may be a part of names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(Arc<str>);

impl ClusterName {
    /// From the name of a virtual node, or the source's name. Names that are no DNS labels are made ones, and get a hash
    /// that keeps them apart.
    pub fn of(name: &str) -> Self {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ends = |c: char| c != '-';
        let is_label = name.len() <= MAX_LABEL && name.starts_with(ends) && name.ends_with(ends);
        if is_label && name.chars().all(fits) {
            return Self(name.into());
        }
        let mut label: String = name
            .chars()
            .map(|c| c.to_ascii_lowercase())
            .map(|c| if fits(c) { c } else { '-' })
            .take(MAX_LABEL - HASH_DIGITS - 1)
            .collect();
        label = label.trim_matches('-').to_owned();
        let hash = short_hash(name, HASH_DIGITS);
        Self(
            if label.is_empty() {
                hash
            } else {
                format!("{label}-{hash}")
            }
            .into(),
        )
    }

    /// As a label's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A target: one way to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The virtual node.
    pub node: Arc<str>,
    /// The only namespace that it serves, if it is not a whole cluster.
    pub namespace: Option<String>,
    /// The cluster's identity, if it is known.
    pub cluster_id: Option<String>,
    /// It is the source.
    pub own: bool,
    /// The network of the cluster's pods, as the target says.
    pub network: Network,
    /// It answers, as far as anybody knows.
    pub healthy: bool,
}

/// A cluster of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// What it is called.
    pub name: ClusterName,
    /// The networks that targets say it is in.
    networks: BTreeSet<Network>,
    /// Somebody can ask it how its pods do.
    pub healthy: bool,
    /// Targets that lead there, with what they serve. None for the source.
    ways: Vec<(Arc<str>, Option<String>)>,
}

impl Cluster {
    /// Do pods here reach pods there by their addresses?
    pub fn reaches(&self, other: &Self) -> bool {
        self.name == other.name || !self.networks.is_disjoint(&other.networks)
    }
}

/// The clusters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    /// The source first.
    all: Vec<Cluster>,
    by_node: BTreeMap<Arc<str>, usize>,
}

impl Clusters {
    /// The source, and all targets.
    pub fn new(source: &str, network: Network, ways: &[Way]) -> Self {
        let home = Cluster {
            name: ClusterName::of(source),
            networks: [network].into(),
            healthy: true,
            ways: vec![],
        };
        let mut clusters = Self {
            all: vec![home],
            by_node: BTreeMap::new(),
        };
        let mut ways: Vec<_> = ways.iter().collect();
        ways.sort_by_key(|way| &way.node);
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for way in ways {
            let id = way.cluster_id.as_deref().filter(|id| !id.is_empty());
            let index = match id {
                // How the source is connected, its own flag says.
                _ if way.own => 0,
                Some(id) if known.contains_key(id) => {
                    let index = known[id];
                    clusters.all[index].join(way);
                    index
                }
                _ => {
                    let index = clusters.all.len();
                    clusters.all.push(Cluster::behind(way));
                    known.extend(id.map(|id| (id, index)));
                    index
                }
            };
            clusters.by_node.insert(way.node.clone(), index);
        }
        clusters
    }

    /// The source.
    pub fn source(&self) -> &Cluster {
        &self.all[0]
    }

    /// All of them, the source first.
    pub fn all(&self) -> impl Iterator<Item = &Cluster> {
        self.all.iter()
    }

    /// The cluster that this virtual node stands for.
    pub fn of_node(&self, node: &str) -> Option<&Cluster> {
        self.by_node.get(node).map(|index| &self.all[*index])
    }

    /// Does this target look after imports in a namespace? Of several that could, one does; none of those that lead to
    /// the source, which looks after itself.
    pub fn is_in_charge(&self, node: &str, namespace: &str) -> bool {
        let Some(cluster) = self.of_node(node) else {
            return false;
        };
        let serves = |served: &Option<String>| served.as_deref().is_none_or(|served| served == namespace);
        let mut serving = cluster.ways.iter().filter(|(_, served)| serves(served));
        serving.next().is_some_and(|(first, _)| **first == *node)
    }
}

impl Cluster {
    fn behind(way: &Way) -> Self {
        Self {
            name: ClusterName::of(&way.node),
            networks: [way.network.clone()].into(),
            healthy: way.healthy,
            ways: vec![(way.node.clone(), way.namespace.clone())],
        }
    }

    fn join(&mut self, way: &Way) {
        self.networks.insert(way.network.clone());
        self.healthy |= way.healthy;
        self.ways.push((way.node.clone(), way.namespace.clone()));
    }
}
