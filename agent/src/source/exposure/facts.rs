//! What the exposure of applications needs to know.

use std::collections::BTreeSet;

use tokio::sync::mpsc::UnboundedReceiver;

use super::site::{Address, Exposed};
use crate::source::following::object::ObjectKey;

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// An object of the source, or what a target has for it.
    Object(ObjectKey),
    /// A target's Gateway of this namespace and name.
    Gateway(String, String),
}

/// The facts about what is reached from outside. An index: it answers at once.
pub trait Facts: Send + Sync + 'static {
    /// An object with the clusters that it follows pods to. `None`: it is not there, or follows no pods.
    fn exposed(&self, key: &ObjectKey) -> Option<Exposed>;

    /// All objects that [`Self::exposed`] knows.
    fn keys(&self) -> BTreeSet<ObjectKey>;

    /// The addresses of a Gateway in the target of this virtual node.
    fn gateway(&self, node: &str, namespace: &str, name: &str) -> Vec<Address>;

    /// All is known that says how this object is reached: nothing of it that an earlier agent has published is taken back
    /// before. A target that is known to be away does not count.
    fn is_known(&self, key: &ObjectKey) -> bool;

    /// All pods, HTTPRoutes, and targets are known.
    fn is_complete(&self) -> bool;

    /// What changes from now on.
    fn subscribe(&self) -> UnboundedReceiver<Touched>;
}

/// What of the facts must be seen outside at once: all but how many pods are ready, as long as there are some.
pub fn essence(mut exposed: Exposed) -> Exposed {
    for site in &mut exposed.sites {
        site.ready = site.ready.min(1);
    }
    exposed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::exposure::cluster::tests::site;
    use crate::source::exposure::policy::tests::exposed;
    use crate::source::following::object::Kind;

    #[test]
    fn the_first_and_the_last_ready_pod_are_of_the_essence() {
        let with = |ready| {
            let mut exposed = exposed(Kind::Ingress, &["a.com"], &[]);
            exposed.sites = vec![site("us", &["192.0.2.1"], ready)];
            essence(exposed)
        };
        assert_eq!(with(3), with(99));
        assert_ne!(with(1), with(0));
    }
}
