//! One namespace: who selects whom, who routes to whom.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::super::facts::Labels;
use super::super::object::ObjectKey;

/// Pods, Services and routes of a namespace.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    /// UIDs.
    pub pods: HashSet<Arc<str>>,
    services: HashMap<Arc<str>, Selecting>,
    /// Services by one label of their selector, the rarest of them, so that a pod meets few that do not select it.
    by_label: HashMap<String, HashMap<String, BTreeSet<Arc<str>>>>,
    /// Routes by the Services that they route to.
    pub routes_to: Links,
    /// Routes by the Secrets that their TLS names.
    pub tls: Links,
}

/// A Service, and the pods that it selects.
#[derive(Debug, Default)]
struct Selecting {
    selector: Labels,
    indexed_by: Option<(String, String)>,
    pods: HashSet<Arc<str>>,
}

/// Does the selector select such pods?
pub(super) fn selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl Namespace {
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.services.is_empty() && self.routes_to.0.is_empty() && self.tls.0.is_empty()
    }

    pub fn selector(&self, service: &str) -> Option<&Labels> {
        self.services.get(service).map(|service| &service.selector)
    }

    /// The pods that the Service selects.
    pub fn selected(&self, service: &str) -> impl Iterator<Item = &Arc<str>> {
        self.services.get(service).into_iter().flat_map(|service| &service.pods)
    }

    /// The Services that select a pod with these labels.
    pub fn selecting(&self, labels: &Labels) -> Vec<Arc<str>> {
        let candidates = labels
            .iter()
            .filter_map(|(key, value)| self.by_label.get(key)?.get(value));
        let is_selected = |name: &&Arc<str>| self.selector(name).is_some_and(|selector| selects(selector, labels));
        candidates.flatten().filter(is_selected).cloned().collect()
    }

    /// A Service selects these pods now.
    pub fn put_service(&mut self, name: &Arc<str>, selector: Labels, pods: HashSet<Arc<str>>) {
        self.remove_service(name);
        let known = |(key, value): &(&String, &String)| {
            let values = self.by_label.get(*key);
            values.and_then(|values| values.get(*value)).map_or(0, BTreeSet::len)
        };
        let rarest = selector.iter().min_by_key(known);
        let indexed_by = rarest.map(|(key, value)| (key.clone(), value.clone()));
        if let Some((key, value)) = indexed_by.clone() {
            let values = self.by_label.entry(key).or_default();
            values.entry(value).or_default().insert(name.clone());
        }
        let selecting = Selecting {
            selector,
            indexed_by,
            pods,
        };
        self.services.insert(name.clone(), selecting);
    }

    /// The pods that the Service selected.
    pub fn remove_service(&mut self, name: &str) -> HashSet<Arc<str>> {
        let Some(service) = self.services.remove(name) else {
            return HashSet::new();
        };
        if let Some((key, value)) = service.indexed_by
            && let Some(values) = self.by_label.get_mut(&key)
            && let Some(services) = values.get_mut(&value)
        {
            services.remove(name);
            if services.is_empty() {
                values.remove(&value);
            }
            if values.is_empty() {
                self.by_label.remove(&key);
            }
        }
        service.pods
    }

    pub fn select(&mut self, service: &str, uid: &Arc<str>, selected: bool) {
        let Some(service) = self.services.get_mut(service) else {
            return;
        };
        match selected {
            true => service.pods.insert(uid.clone()),
            false => service.pods.remove(uid),
        };
    }
}

/// Routes by the name of what they lead to.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<String, BTreeSet<ObjectKey>>);

impl Links {
    pub fn put(&mut self, names: &BTreeSet<String>, route: &ObjectKey) {
        for name in names {
            self.0.entry(name.clone()).or_default().insert(route.clone());
        }
    }

    pub fn remove(&mut self, names: &BTreeSet<String>, route: &ObjectKey) {
        for name in names {
            if let Some(routes) = self.0.get_mut(name) {
                routes.remove(route);
                if routes.is_empty() {
                    self.0.remove(name);
                }
            }
        }
    }

    pub fn of(&self, name: &str) -> impl Iterator<Item = &ObjectKey> {
        self.0.get(name).into_iter().flatten()
    }
}
