//! Which object is needed in which targets, and how many ready pods are behind it there. Fed by events, answers at once.
//!
//! ```text
//! pod ── uses ──▶ ConfigMap, Secret ◀── TLS ──┐
//!  ▲                                          │
//!  └── selects ── Service ◀── routes to ── Ingress, HTTPRoute
//! ```
//!
//! For each object there is a tally of the pods that use it or stand behind it, and an event of a pod changes those of its
//! own objects alone. Only a Secret that a route names asks further: it is needed where its routes are.

mod namespace;
pub mod pool;
mod share;
mod tally;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use multicluster_api::references::References;

use self::namespace::{Namespace, selects};
use self::pool::Pool;
use self::share::Share;
use self::tally::Tally;
use super::facts::{Labels, PodFacts, RouteFacts, ServiceFacts};
use super::object::{Kind, ObjectKey};

/// Objects for which the nodes that need them, their ready pods, or the pods that they select may have changed.
pub type Touched = BTreeSet<ObjectKey>;

/// The index.
///
/// Put Services and routes before pods when both are listed: a new pod looks for its Services by its labels, a new Service
/// looks at every pod of its namespace.
#[derive(Debug, Default)]
pub struct Needs {
    pods: HashMap<Arc<str>, Pod>,
    namespaces: HashMap<String, Namespace>,
    routes: HashMap<ObjectKey, RouteFacts>,
    /// Of all objects that some pod uses or stands behind.
    tallies: HashMap<ObjectKey, Tally>,
    labels: Pool<Labels>,
    references: Pool<References>,
}

/// A pod, or chaperons of a pod that is not known.
#[derive(Debug, Default)]
struct Pod {
    facts: Option<PodFacts>,
    /// The Services that select it.
    services: Vec<Arc<str>>,
    /// The nodes behind which it has a chaperon.
    chaperons: BTreeSet<Arc<str>>,
}

impl Needs {
    /// A pod as it is now.
    pub fn put_pod(&mut self, mut pod: PodFacts) -> Touched {
        pod.labels = self.labels.get(pod.labels);
        pod.references = self.references.get(pod.references);
        let uid = pod.uid.clone();
        let before = self.share(&uid);
        let entry = self.pods.entry(uid.clone()).or_default();
        let known = entry.facts.take();
        if known.as_ref() == Some(&pod) {
            entry.facts = known;
            return Touched::new();
        }
        let selection = |pod: &PodFacts| (pod.namespace.clone(), pod.labels.clone(), pod.no_prefix.clone());
        let reselect = known.as_ref().map(selection) != Some(selection(&pod));
        if reselect {
            self.leave(&uid, known.as_ref());
            let namespace = self.namespaces.entry(pod.namespace.to_string()).or_default();
            namespace.pods.insert(uid.clone());
            let services = namespace.selecting(&pod.labels);
            services
                .iter()
                .for_each(|service| namespace.select(service, &uid, true));
            self.pods.entry(uid.clone()).or_default().services = services;
        }
        self.pods.entry(uid.clone()).or_default().facts = Some(pod);
        let after = self.share(&uid);
        let mut touched = self.exchange(&before, &after);
        if reselect {
            let services = after.objects.into_iter().filter(|key| key.kind == Kind::Service);
            touched.extend(services);
        }
        touched
    }

    /// The ConfigMaps and Secrets that a pod uses.
    pub fn references(&self, uid: &str) -> Option<Arc<References>> {
        let facts = self.pods.get(uid)?.facts.as_ref()?;
        Some(facts.references.clone())
    }

    /// A pod is gone. Where its chaperons are is remembered.
    pub fn remove_pod(&mut self, uid: &str) -> Touched {
        let Some((uid, _)) = self.pods.get_key_value(uid) else {
            return Touched::new();
        };
        let uid = uid.clone();
        let before = self.share(&uid);
        let known = self.pods.get_mut(&uid).and_then(|pod| pod.facts.take());
        self.leave(&uid, known.as_ref());
        self.forget_unknown(&uid);
        self.exchange(&before, &Share::default())
    }

    /// A chaperon of the pod is (or is no more) in the target behind the node. It may be known before the pod is.
    pub fn place_pod(&mut self, uid: &str, node: &Arc<str>, there: bool) -> Touched {
        let before = self.share(uid);
        if there {
            if !self.pods.contains_key(uid) {
                self.pods.insert(uid.into(), Pod::default());
            }
            if let Some(pod) = self.pods.get_mut(uid) {
                pod.chaperons.insert(node.clone());
            }
        } else if let Some(pod) = self.pods.get_mut(uid) {
            pod.chaperons.remove(node);
            self.forget_unknown(uid);
        }
        let after = self.share(uid);
        self.exchange(&before, &after)
    }

    /// A Service as it is now.
    pub fn put_service(&mut self, service: ServiceFacts) -> Touched {
        let ServiceFacts { key, selector } = service;
        let namespace = self.namespaces.entry(key.namespace.clone()).or_default();
        if namespace.selector(&key.name) == Some(&selector) {
            return Touched::new();
        }
        let has_labels = |uid: &&Arc<str>| {
            let facts = self.pods.get(*uid).and_then(|pod| pod.facts.as_ref());
            facts.is_some_and(|facts| selects(&selector, &facts.labels))
        };
        let selected: HashSet<Arc<str>> = namespace.pods.iter().filter(has_labels).cloned().collect();
        self.reselect(&key, Some((selector, selected)))
    }

    /// An Ingress or HTTPRoute as it is now.
    pub fn put_route(&mut self, route: RouteFacts) -> Touched {
        let key = route.key.clone();
        self.reroute(&key, Some(route))
    }

    /// A Service, Ingress or HTTPRoute is gone, or follows pods no more. Of other kinds nothing is kept.
    pub fn remove(&mut self, key: &ObjectKey) -> Touched {
        match key.kind {
            Kind::Service => self.reselect(key, None),
            Kind::Ingress | Kind::HttpRoute => self.reroute(key, None),
            _ => Touched::new(),
        }
    }

    /// The virtual nodes of the targets where the object is needed.
    pub fn nodes(&self, key: &ObjectKey) -> BTreeSet<Arc<str>> {
        self.tallies(key).flat_map(Tally::nodes).cloned().collect()
    }

    /// Is the object needed in the target behind this node?
    pub fn is_needed_in(&self, key: &ObjectKey, node: &str) -> bool {
        self.tallies(key).any(|tally| tally.is_in(node))
    }

    /// Ready pods behind a Service, an Ingress or an HTTPRoute, by the node that they are bound to. A pod behind several
    /// Services of one route counts once. Nodes without ready pods are left out.
    pub fn ready(&self, key: &ObjectKey) -> BTreeMap<Arc<str>, u32> {
        self.tallies.get(key).map(Tally::ready).unwrap_or_default()
    }

    /// The proxy pods that a Service selects, in no order.
    pub fn selected(&self, service: &ObjectKey) -> impl Iterator<Item = &PodFacts> {
        let namespace = self.namespaces.get(&service.namespace);
        let is_service = service.kind == Kind::Service;
        let uids = namespace.filter(|_| is_service).into_iter();
        let uids = uids.flat_map(|namespace| namespace.selected(&service.name));
        uids.filter_map(|uid| self.pods.get(uid)?.facts.as_ref())
    }

    /// The Services that select this proxy pod.
    pub fn services_of(&self, uid: &str) -> Vec<ObjectKey> {
        let Some((pod, facts)) = self.pods.get(uid).and_then(|pod| Some((pod, pod.facts.as_ref()?))) else {
            return vec![];
        };
        let key = |name: &Arc<str>| ObjectKey::new(Kind::Service, &*facts.namespace, &**name);
        pod.services.iter().map(key).collect()
    }

    /// Does any proxy pod, placed or not, use the object or stand behind it?
    pub fn has_proxy_pods(&self, key: &ObjectKey) -> bool {
        self.tallies(key).any(Tally::has_pods)
    }

    /// The object's own tally, and those of the routes that need it.
    fn tallies(&self, key: &ObjectKey) -> impl Iterator<Item = &Tally> {
        let own = self.tallies.get(key);
        let namespace = self.namespaces.get(&key.namespace).filter(|_| key.kind == Kind::Secret);
        let routes = namespace.into_iter().flat_map(|namespace| namespace.tls.of(&key.name));
        own.into_iter()
            .chain(routes.filter_map(|route| self.tallies.get(route)))
    }

    /// A Service has this selector now, which selects these pods; or it is gone.
    fn reselect(&mut self, key: &ObjectKey, now: Option<(Labels, HashSet<Arc<str>>)>) -> Touched {
        let name: Arc<str> = key.name.as_str().into();
        let Some(namespace) = self.namespaces.get_mut(&key.namespace) else {
            return Touched::new();
        };
        let old: HashSet<Arc<str>> = namespace.selected(&name).cloned().collect();
        let new = now.as_ref().map(|(_, selected)| selected.clone()).unwrap_or_default();
        let changed: HashSet<Arc<str>> = old.symmetric_difference(&new).cloned().collect();
        let mut touched = self.change(&changed, |needs| {
            for uid in &changed {
                let Some(pod) = needs.pods.get_mut(uid) else {
                    continue;
                };
                pod.services.retain(|service| *service != name);
                if new.contains(uid) {
                    pod.services.push(name.clone());
                }
            }
            let namespace = needs.namespaces.entry(key.namespace.clone()).or_default();
            match now {
                Some((selector, selected)) => namespace.put_service(&name, selector, selected),
                None => drop(namespace.remove_service(&name)),
            }
        });
        if !(old.is_empty() && new.is_empty()) {
            touched.insert(key.clone());
        }
        self.forget_empty(&key.namespace);
        touched
    }

    /// A route is like this now; or it is gone.
    fn reroute(&mut self, key: &ObjectKey, now: Option<RouteFacts>) -> Touched {
        let old = self.routes.get(key).cloned();
        if old == now {
            return Touched::new();
        }
        let none = BTreeSet::new();
        let services = |route: &Option<RouteFacts>| route.as_ref().map_or(none.clone(), |route| route.services.clone());
        let secrets = |route: &Option<RouteFacts>| route.as_ref().map_or(none.clone(), |route| route.secrets.clone());
        let (old_services, new_services) = (services(&old), services(&now));
        let (old_secrets, new_secrets) = (secrets(&old), secrets(&now));
        let namespace = self.namespaces.entry(key.namespace.clone()).or_default();
        let changed = old_services.symmetric_difference(&new_services);
        let behind = changed.flat_map(|service| namespace.selected(service));
        let behind: HashSet<Arc<str>> = behind.cloned().collect();
        let was_needed = self.tallies.contains_key(key);
        let mut touched = self.change(&behind, |needs| {
            let namespace = needs.namespaces.entry(key.namespace.clone()).or_default();
            namespace.routes_to.remove(&old_services, key);
            namespace.routes_to.put(&new_services, key);
            namespace.tls.remove(&old_secrets, key);
            namespace.tls.put(&new_secrets, key);
            match now {
                Some(route) => drop(needs.routes.insert(key.clone(), route)),
                None => drop(needs.routes.remove(key)),
            }
        });
        if was_needed || self.tallies.contains_key(key) {
            touched.insert(key.clone());
            let changed = old_secrets.symmetric_difference(&new_secrets);
            touched.extend(changed.map(|name| ObjectKey::new(Kind::Secret, &key.namespace, name)));
        }
        self.forget_empty(&key.namespace);
        touched
    }

    /// A pod is in its namespace no more.
    fn leave(&mut self, uid: &Arc<str>, facts: Option<&PodFacts>) {
        let services = self.pods.get_mut(uid).map(|pod| std::mem::take(&mut pod.services));
        let Some(facts) = facts else {
            return;
        };
        if let Some(namespace) = self.namespaces.get_mut(&*facts.namespace) {
            namespace.pods.remove(uid);
            let services = services.iter().flatten();
            services.for_each(|service| namespace.select(service, uid, false));
            self.forget_empty(&facts.namespace);
        }
    }

    fn forget_unknown(&mut self, uid: &str) {
        let is_unknown = |pod: &Pod| pod.facts.is_none() && pod.chaperons.is_empty();
        if self.pods.get(uid).is_some_and(is_unknown) {
            self.pods.remove(uid);
        }
    }

    fn forget_empty(&mut self, namespace: &str) {
        if self.namespaces.get(namespace).is_some_and(Namespace::is_empty) {
            self.namespaces.remove(namespace);
        }
    }
}

#[cfg(test)]
mod tests;
