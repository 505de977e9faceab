//! What is asked by those who show applications to the outside.

use std::sync::Arc;

use super::follower::Follower;
use super::hub::Following;
use super::listing::Listing;
use super::object::{Kind, ObjectKey};
use crate::source::exposure::site::{Exposed, Site};

impl Following {
    /// Call this for each Service, Ingress or HTTPRoute that may be reached in another way than before: it must not take
    /// long, nor keep alive what keeps this alive.
    pub fn subscribe(&self, subscriber: impl Fn(&ObjectKey) + Send + Sync + 'static) {
        self.subscribers.write().push(Box::new(subscriber));
    }

    /// Something is news of this target's site.
    pub fn site_changed(&self, node: &str) {
        let keys: Vec<_> = {
            let (needs, shown) = (self.needs.lock(), self.shown.read());
            let there = shown.keys().filter(|key| needs.is_needed_in(key, node));
            there.cloned().collect()
        };
        keys.iter().for_each(|key| self.tell(key));
    }

    /// The copy of an object in a target is news.
    pub fn copy_changed(&self, key: &ObjectKey) {
        if self.shown.read().contains_key(key) {
            self.tell(key);
        }
    }

    /// Keys of all objects that are reached from outside.
    pub fn shown_keys(&self) -> Vec<ObjectKey> {
        self.shown.read().keys().cloned().collect()
    }

    /// Is all known that says how this object is reached? Until then nothing that an earlier process has shown of it is
    /// to be taken back. A target that is known to be away does not count: nobody is led there.
    pub fn is_known(&self, key: &ObjectKey) -> bool {
        let nodes = self.needs.lock().nodes(key);
        let followers = nodes.iter().filter_map(|node| self.followers.get(node));
        let knows = |follower: Arc<Follower>| {
            let serves = follower.facts().serves;
            serves == Some(false) || (serves.is_some() && follower.copies.listing(key.kind) != Listing::Pending)
        };
        // An agent that may not read the source's Secrets, say, still knows how Ingresses are reached.
        self.knows(&[key.kind, Kind::Service]) && followers.into_iter().all(knows)
    }

    /// How an object is reached from outside: `None` when it is not, because it is no object of that kind, or because no
    /// proxy pod is behind it.
    pub fn exposed(&self, key: &ObjectKey) -> Option<Exposed> {
        let shown = self.shown.read().get(key).cloned()?;
        let (nodes, ready) = {
            let needs = self.needs.lock();
            if !needs.has_proxy_pods(key) {
                return None;
            }
            (needs.nodes(key), needs.ready(key))
        };
        let site = |node: &Arc<str>| {
            let follower = self.followers.get(node)?;
            let facts = follower.facts();
            // Another target that leads to the same cluster may have made the copy, as another user.
            let ours = |mate: &Arc<Follower>| mate.copies.get(key).filter(|held| held.ours && !held.deleting);
            let copy = self.followers.mates(&follower).iter().find_map(ours);
            let addresses = match facts.own {
                true => shown.addresses.clone(),
                false => copy.map(|held| held.addresses).unwrap_or_default(),
            };
            Some(Site {
                node: node.to_string(),
                cluster: facts.cluster_id.unwrap_or_else(|| node.to_string()),
                addresses,
                ready: ready.get(node).copied().unwrap_or_default(),
                healthy: facts.serves != Some(false),
                region: facts.region,
                own: facts.own,
            })
        };
        Some(Exposed {
            key: key.clone(),
            uid: shown.uid.clone(),
            created: shown.created,
            annotations: shown.annotations.clone(),
            hosts: shown.hosts.clone(),
            ports: shown.ports.clone(),
            gateways: shown.gateways.clone(),
            sites: nodes.iter().filter_map(site).collect(),
        })
    }
}
