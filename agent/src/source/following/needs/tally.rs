//! How many pods need one object, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where a pod is, or will soon be: what it adds to each object that it uses or stands behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The nodes that it is bound to or has a chaperon behind.
    pub nodes: BTreeSet<Arc<str>>,
    /// The one where it is ready.
    pub ready: Option<Arc<str>>,
}

/// The sum of all pods' places.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pods: u32,
    nodes: BTreeMap<Arc<str>, Here>,
}

#[derive(Debug, Default)]
struct Here {
    pods: u32,
    ready: u32,
}

/// What another pod has changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    /// Which pods there are.
    pub pods: bool,
    /// Which nodes need the object.
    pub nodes: bool,
    /// How many are ready somewhere.
    pub ready: bool,
}

impl Tally {
    /// A pod was here, or was not, and now is, or is not.
    pub fn exchange(&mut self, before: Option<&Place>, after: Option<&Place>) -> Change {
        let mut change = Change {
            pods: before.is_some() != after.is_some(),
            ..Change::default()
        };
        self.pods = self.pods + u32::from(after.is_some()) - u32::from(before.is_some());
        let ready = |place: Option<&Place>| place.and_then(|place| place.ready.clone());
        change.ready = ready(before) != ready(after);
        for node in after.iter().flat_map(|place| &place.nodes) {
            let here = self.nodes.entry(node.clone()).or_default();
            change.nodes |= here.pods == 0;
            here.pods += 1;
        }
        if let Some(here) = ready(after).and_then(|node| self.nodes.get_mut(&node)) {
            here.ready += 1;
        }
        if let Some(here) = ready(before).and_then(|node| self.nodes.get_mut(&node)) {
            here.ready -= 1;
        }
        for node in before.iter().flat_map(|place| &place.nodes) {
            let here = self.nodes.get_mut(node);
            if let Some(here) = here {
                here.pods -= 1;
                if here.pods == 0 {
                    self.nodes.remove(node);
                    change.nodes = true;
                }
            }
        }
        change
    }

    pub fn has_pods(&self) -> bool {
        self.pods > 0
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.nodes.keys()
    }

    pub fn is_in(&self, node: &str) -> bool {
        self.nodes.contains_key(node)
    }

    pub fn ready(&self) -> BTreeMap<Arc<str>, u32> {
        let ready = self.nodes.iter().filter(|(_, here)| here.ready > 0);
        ready.map(|(node, here)| (node.clone(), here.ready)).collect()
    }
}
