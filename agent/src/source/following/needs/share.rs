//! What one pod adds to the tallies of its objects.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::super::object::{Kind, ObjectKey};
use super::tally::Place;
use super::{Needs, Touched};

/// The objects that a pod uses or stands behind, and where it is.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Share {
    pub objects: BTreeSet<ObjectKey>,
    pub place: Place,
}

impl Needs {
    /// What the pod adds now.
    pub(super) fn share(&self, uid: &str) -> Share {
        let Some(pod) = self.pods.get(uid) else {
            return Share::default();
        };
        let Some(facts) = &pod.facts else {
            return Share::default();
        };
        let object = |kind, name: &str| ObjectKey::new(kind, &*facts.namespace, name);
        let config_maps = facts.references.config_maps.keys();
        let secrets = facts.references.secrets.keys();
        let mut objects: BTreeSet<ObjectKey> = config_maps
            .map(|name| object(Kind::ConfigMap, name))
            .chain(secrets.map(|name| object(Kind::Secret, name)))
            .collect();
        let namespace = self.namespaces.get(&*facts.namespace);
        for service in &pod.services {
            objects.insert(object(Kind::Service, service));
            let routes = namespace
                .into_iter()
                .flat_map(|namespace| namespace.routes_to.of(service));
            objects.extend(routes.cloned());
        }
        let nodes = pod.chaperons.iter().chain(&facts.node).cloned().collect();
        let ready = facts.node.clone().filter(|_| facts.ready);
        Share {
            objects,
            place: Place { nodes, ready },
        }
    }

    /// A pod's share was, and now is.
    pub(super) fn exchange(&mut self, before: &Share, after: &Share) -> Touched {
        let mut touched = Touched::new();
        if before == after {
            return touched;
        }
        for key in before.objects.union(&after.objects) {
            let place = |share: &Share| share.objects.contains(key).then(|| share.place.clone());
            let (was, is) = (place(before), place(after));
            if was == is {
                continue;
            }
            let tally = self.tallies.entry(key.clone()).or_default();
            let had_pods = tally.has_pods();
            let change = tally.exchange(was.as_ref(), is.as_ref());
            let has_pods = tally.has_pods();
            if !has_pods {
                self.tallies.remove(key);
            }
            let nodes = change.nodes || had_pods != has_pods;
            // A Service's selector is rewritten for the pods that it selects.
            if nodes || change.ready || (change.pods && key.kind == Kind::Service) {
                touched.insert(key.clone());
            }
            if nodes {
                let secrets = self.routes.get(key).into_iter().flat_map(|route| &route.secrets);
                touched.extend(secrets.map(|name| ObjectKey::new(Kind::Secret, &key.namespace, name)));
            }
        }
        touched
    }

    /// Change something about all of these pods.
    pub(super) fn change(&mut self, uids: &HashSet<Arc<str>>, change: impl FnOnce(&mut Self)) -> Touched {
        let before: Vec<_> = uids.iter().map(|uid| (uid, self.share(uid))).collect();
        change(self);
        let mut touched = Touched::new();
        for (uid, before) in before {
            let after = self.share(uid);
            touched.extend(self.exchange(&before, &after));
        }
        touched
    }
}
