//! How watches fare, by kind and target.

use std::collections::HashSet;
use std::sync::LazyLock;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What is watched, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Watched {
    /// The objects, for people: most often the resource's name.
    pub kind: &'static str,
    /// Name of the target's virtual node; empty for the cluster that the component serves.
    pub node: String,
}

impl From<&'static str> for Watched {
    fn from(kind: &'static str) -> Self {
        (kind, "").into()
    }
}

impl From<(&'static str, &str)> for Watched {
    fn from((kind, node): (&'static str, &str)) -> Self {
        let node = node.into();
        Self { kind, node }
    }
}

#[derive(Default)]
struct Watches {
    lists: Family<Watched, Counter>,
    errors: Family<Watched, Counter>,
    known: Mutex<HashSet<Watched>>,
}

static WATCHES: LazyLock<Watches> = LazyLock::new(Watches::default);

pub(super) fn register(registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("multicluster_watch");
    let help = "Times that a watch began with a list of all objects: once, and again after a gap";
    registry.register("lists", help, WATCHES.lists.clone());
    let help = "Errors of watches; each goes on after a pause";
    registry.register("errors", help, WATCHES.errors.clone());
}

impl Watched {
    /// A list of all objects has begun.
    pub fn listed(&self) {
        self.remember();
        WATCHES.lists.get_or_create(self).inc();
        // So that its first error is an increase.
        drop(WATCHES.errors.get_or_create(self));
    }

    /// The watch has failed.
    pub fn failed(&self) {
        self.remember();
        WATCHES.errors.get_or_create(self).inc();
    }

    fn remember(&self) {
        WATCHES.known.lock().insert(self.clone());
    }
}

/// The target is gone, and so are its series.
pub fn forget(node: &str) {
    WATCHES.known.lock().retain(|watched| {
        let gone = watched.node == node && !node.is_empty();
        if gone {
            WATCHES.lists.remove(watched);
            WATCHES.errors.remove(watched);
        }
        !gone
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_gone_leaves_no_series() {
        let (here, there) = (Watched::from("w-pods"), Watched::from(("w-pods", "w-eu")));
        for watched in [&here, &there] {
            watched.listed();
            watched.failed();
        }
        assert_eq!(WATCHES.errors.get_or_create(&there).get(), 1);
        forget("w-eu");
        assert!(WATCHES.lists.get(&there).is_none() && WATCHES.errors.get(&there).is_none());
        assert!(WATCHES.lists.get(&here).is_some());
    }
}
