//! Which object is needed in which targets, and how many ready pods are behind it there. Fed by events, answers at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::facts::{PodFacts, RouteFacts, ServiceFacts};
use super::object::ObjectKey;

/// Objects for which the nodes that need them, their ready pods, or the pods that they select may have changed.
pub type Touched = BTreeSet<ObjectKey>;

/// The index.
///
/// Put Services and routes before pods when both are listed: a new pod looks for its Services by its labels, a new Service
/// looks at every pod of its namespace.
#[derive(Debug, Default)]
pub struct Needs {}

impl Needs {
    /// A pod as it is now.
    pub fn put_pod(&mut self, _pod: PodFacts) -> Touched {
        Touched::new()
    }

    /// A pod is gone. Where its chaperons are is remembered.
    pub fn remove_pod(&mut self, _uid: &str) -> Touched {
        Touched::new()
    }

    /// A chaperon of the pod is (or is no more) in the target behind the node. It may be known before the pod is.
    pub fn place_pod(&mut self, _uid: &str, _node: &Arc<str>, _there: bool) -> Touched {
        Touched::new()
    }

    /// A Service as it is now.
    pub fn put_service(&mut self, _service: ServiceFacts) -> Touched {
        Touched::new()
    }

    /// An Ingress or HTTPRoute as it is now.
    pub fn put_route(&mut self, _route: RouteFacts) -> Touched {
        Touched::new()
    }

    /// A Service, Ingress or HTTPRoute is gone, or follows pods no more. Of other kinds nothing is kept.
    pub fn remove(&mut self, _key: &ObjectKey) -> Touched {
        Touched::new()
    }

    /// The virtual nodes of the targets where the object is needed.
    pub fn nodes(&self, _key: &ObjectKey) -> BTreeSet<Arc<str>> {
        BTreeSet::new()
    }

    /// Is the object needed in the target behind this node?
    pub fn is_needed_in(&self, _key: &ObjectKey, _node: &str) -> bool {
        false
    }

    /// Ready pods behind a Service, an Ingress or an HTTPRoute, by the node that they are bound to. A pod behind several
    /// Services of one route counts once. Nodes without ready pods are left out.
    pub fn ready(&self, _key: &ObjectKey) -> BTreeMap<Arc<str>, u32> {
        BTreeMap::new()
    }

    /// The proxy pods that a Service selects, in no order.
    pub fn selected(&self, _service: &ObjectKey) -> impl Iterator<Item = &PodFacts> {
        std::iter::empty()
    }

    /// Does any proxy pod, placed or not, use the object or stand behind it?
    pub fn has_proxy_pods(&self, _key: &ObjectKey) -> bool {
        false
    }
}
