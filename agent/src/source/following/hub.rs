//! All that is known of what follows pods: fed by the watches of the source, its pods, and the links; asked by the links,
//! and by what shows applications to the outside.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use multicluster_api::references::References;
use multicluster_api::selectors::{self, Disagree};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use super::facts::{Labels, PodFacts, RouteFacts, ServiceFacts};
use super::fetched::Fetched;
use super::follower::{Follower, Job};
use super::followers::Followers;
use super::listing::Listing;
use super::needs::{Needs, Touched};
use super::object::{Kind, ObjectKey};
use super::originals::Originals;
use super::reroute::Routed;
use super::shown::Shown;
use crate::queue::Queue;
use crate::queue_metrics::Queues;

/// A Service, and what routes to it, is looked at so late after its pods changed: they change in numbers, and the Service
/// most often not at all.
const SETTLE: Duration = Duration::from_millis(100);

/// Told of objects that may be reached in another way than before.
pub(super) type Subscriber = Box<dyn Fn(&ObjectKey) + Send + Sync>;

/// What follows pods, and where.
pub struct Following {
    /// What the source has.
    pub originals: Originals,
    /// Whole objects of the source.
    pub fetched: Fetched,
    /// The targets.
    pub followers: Followers,
    /// Services of the source whose selectors are to be looked at.
    pub reroutes: Queue<ObjectKey>,
    pub(super) needs: Mutex<Needs>,
    selectors: Mutex<HashMap<ObjectKey, Result<Arc<Labels>, Disagree>>>,
    routed: RwLock<HashMap<ObjectKey, Arc<Routed>>>,
    /// What was told of Services whose pods disagree.
    disagreements: Mutex<HashMap<ObjectKey, Disagree>>,
    pub(super) shown: RwLock<BTreeMap<ObjectKey, Arc<Shown>>>,
    pub(super) subscribers: RwLock<Vec<Subscriber>>,
    pods_listed: AtomicBool,
    targets_listed: AtomicBool,
}

impl Following {
    /// Nothing is known yet.
    pub fn new(metrics: &Queues) -> Self {
        Self {
            originals: Originals::default(),
            fetched: Fetched::default(),
            followers: Followers::default(),
            reroutes: Queue::new(&metrics.selectors),
            needs: Mutex::default(),
            selectors: Mutex::default(),
            routed: RwLock::default(),
            disagreements: Mutex::default(),
            shown: RwLock::default(),
            subscribers: RwLock::default(),
            pods_listed: AtomicBool::new(false),
            targets_listed: AtomicBool::new(false),
        }
    }

    /// A proxy pod as it is now.
    pub fn put_pod(&self, facts: PodFacts) {
        let touched = self.needs.lock().put_pod(facts);
        self.touch(touched);
    }

    /// A proxy pod is gone.
    pub fn remove_pod(&self, uid: &str) {
        let touched = self.needs.lock().remove_pod(uid);
        self.touch(touched);
    }

    /// The ConfigMaps and Secrets that a proxy pod uses.
    pub fn references(&self, uid: &str) -> Option<Arc<References>> {
        self.needs.lock().references(uid)
    }

    /// A pod's chaperon is in this target, or it is there no more.
    pub fn place(&self, uid: &str, node: &Arc<str>, there: bool) {
        let touched = self.needs.lock().place_pod(uid, node, there);
        self.touch(touched);
    }

    /// All proxy pods are known.
    pub fn set_pods_listed(&self) {
        self.pods_listed.store(true, Ordering::SeqCst);
        self.look_at_all();
    }

    /// All targets are known.
    pub fn set_targets_listed(&self) {
        self.targets_listed.store(true, Ordering::SeqCst);
        self.look_at_all();
    }

    /// A ConfigMap or a Secret as it is now.
    pub fn put_file(&self, key: ObjectKey, uid: &str, resource_version: &str) {
        self.originals.put(key.clone(), uid, resource_version, Instant::now());
        self.dispatch(&key, Duration::ZERO);
    }

    /// A Service, an Ingress or an HTTPRoute as it is now.
    pub fn put_object(&self, key: ObjectKey, object: &Value) {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default();
        self.originals
            .put(key.clone(), text("uid"), text("resourceVersion"), Instant::now());
        self.show(&key, Shown::of(key.kind, object));
        let mut touched = self.put_in_needs(&key, object);
        touched.remove(&key);
        self.touch(touched);
        self.selectors.lock().remove(&key);
        self.dispatch(&key, Duration::ZERO);
    }

    fn put_in_needs(&self, key: &ObjectKey, object: &Value) -> Touched {
        if key.kind == Kind::Service {
            let service = ServiceFacts::of(object);
            let mut all = self.routed.write();
            match Routed::of(object).filter(|_| service.is_some()) {
                Some(routed) => all.insert(key.clone(), Arc::new(routed)),
                None => all.remove(key),
            };
            drop(all);
            let mut needs = self.needs.lock();
            return match service {
                Some(service) => needs.put_service(service),
                None => needs.remove(key),
            };
        }
        let route = RouteFacts::of(key.kind, object);
        let mut needs = self.needs.lock();
        match route {
            Some(route) => needs.put_route(route),
            None => needs.remove(key),
        }
    }

    fn show(&self, key: &ObjectKey, shown: Option<Shown>) {
        let mut all = self.shown.write();
        match shown {
            Some(shown) => all.insert(key.clone(), Arc::new(shown)),
            None => all.remove(key),
        };
    }

    /// An object of the source is gone.
    pub fn remove(&self, key: &ObjectKey) {
        self.originals.remove(key);
        self.show(key, None);
        self.routed.write().remove(key);
        self.agreed(key);
        let mut touched = match key.kind {
            Kind::ConfigMap | Kind::Secret => Touched::new(),
            _ => self.needs.lock().remove(key),
        };
        touched.remove(key);
        self.touch(touched);
        self.selectors.lock().remove(key);
        self.dispatch(key, Duration::ZERO);
    }

    /// What is known of a kind in the source by now.
    pub fn set_listing(&self, kind: Kind, listing: Listing) {
        self.originals.set_listing(kind, listing);
        self.look_at_all();
    }

    fn touch(&self, touched: Touched) {
        for key in touched {
            if key.kind == Kind::Service {
                self.selectors.lock().remove(&key);
            }
            let delay = match key.kind {
                Kind::ConfigMap | Kind::Secret => Duration::ZERO,
                _ => SETTLE,
            };
            self.dispatch(&key, delay);
        }
    }

    /// The targets concerned look at this object's copy after `delay`; those who show it, now.
    fn dispatch(&self, key: &ObjectKey, delay: Duration) {
        let nodes = self.needs.lock().nodes(key);
        for follower in self.followers.concerned(key, &nodes) {
            follower.queue.add_after(Job::Copy(key.clone()), delay);
        }
        match key.kind {
            Kind::ConfigMap | Kind::Secret => return,
            Kind::Service => self.reroutes.add_after(key.clone(), delay),
            _ => {}
        }
        self.tell(key);
    }

    /// Tell those who show it.
    pub(super) fn tell(&self, key: &ObjectKey) {
        for subscriber in self.subscribers.read().iter() {
            subscriber(key);
        }
    }

    fn look_at_all(&self) {
        if !self.knows(&[]) {
            return;
        }
        for follower in self.followers.all() {
            self.add_all(&follower);
        }
        for key in self.routed.read().keys() {
            self.reroutes.add(key.clone());
        }
        for key in self.shown.read().keys() {
            self.tell(key);
        }
    }

    /// Look at all copies that a target needs or has.
    pub fn add_all(&self, follower: &Arc<Follower>) {
        for kind in Kind::ALL {
            self.add_kind(follower, kind);
        }
    }

    /// Look at all copies of a kind that a target needs or has.
    pub fn add_kind(&self, follower: &Arc<Follower>, kind: Kind) {
        let mates = self.followers.mates(follower);
        let needed = {
            let needs = self.needs.lock();
            let is_needed = |key: &ObjectKey| mates.iter().any(|mate| needs.is_needed_in(key, &mate.node));
            self.originals.keys(kind, is_needed)
        };
        for key in needed.into_iter().chain(follower.copies.keys(kind)) {
            follower.add(key);
        }
    }

    /// Are all pods, targets, and objects of the source known?
    pub fn is_complete(&self) -> bool {
        self.knows(&Kind::ALL)
    }

    /// Are all pods, targets, and objects of these kinds known?
    pub fn knows(&self, kinds: &[Kind]) -> bool {
        self.pods_listed.load(Ordering::SeqCst)
            && self.targets_listed.load(Ordering::SeqCst)
            && kinds.iter().all(|kind| self.originals.listing(*kind).is_complete())
    }

    /// Is all known that may say that an object of this kind is needed in this target's cluster? Until then none is removed
    /// there. What may not be read in the source keeps nothing else.
    pub fn may_remove_from(&self, follower: &Arc<Follower>, kind: Kind) -> bool {
        let mates = self.followers.mates(follower);
        self.knows(needed_by(kind)) && mates.iter().all(|mate| mate.facts().chaperons_listed)
    }

    /// Is an object needed in this target's cluster?
    pub fn is_needed(&self, follower: &Arc<Follower>, key: &ObjectKey) -> bool {
        let mates = self.followers.mates(follower);
        let needs = self.needs.lock();
        mates.iter().any(|mate| needs.is_needed_in(key, &mate.node))
    }

    /// Of several targets that lead to one cluster one writes there: the first that can.
    pub fn writer(&self, follower: &Arc<Follower>, key: &ObjectKey) -> Option<Arc<Follower>> {
        let mut mates = self.followers.mates(follower).into_iter();
        mates.find(|mate| mate.is_usable() && mate.serves(&key.namespace))
    }

    /// A Service of the source.
    pub fn routed(&self, key: &ObjectKey) -> Option<Arc<Routed>> {
        self.routed.read().get(key).cloned()
    }

    /// Does any proxy pod use the object, or stand behind it?
    pub fn has_proxy_pods(&self, key: &ObjectKey) -> bool {
        self.needs.lock().has_proxy_pods(key)
    }

    /// Are all targets known?
    pub fn knows_targets(&self) -> bool {
        self.targets_listed.load(Ordering::SeqCst)
    }

    /// UIDs of the proxy pods that a Service selects; `None` until all pods and Services are known.
    pub fn selected(&self, key: &ObjectKey) -> Option<Vec<Arc<str>>> {
        let pods_listed = self.pods_listed.load(Ordering::SeqCst);
        if !pods_listed || !self.originals.listing(Kind::Service).is_complete() {
            return None;
        }
        Some(self.needs.lock().selected(key).map(|pod| pod.uid.clone()).collect())
    }

    /// The Services that select this proxy pod.
    pub fn services_of(&self, uid: &str) -> Vec<ObjectKey> {
        self.needs.lock().services_of(uid)
    }

    /// The selector that finds the delegates of a Service's pods. `None`: it has no selector.
    pub fn selector(&self, key: &ObjectKey) -> Option<Result<Arc<Labels>, Disagree>> {
        if let Some(known) = self.selectors.lock().get(key) {
            return Some(known.clone());
        }
        let routed = self.routed(key)?;
        let needs = self.needs.lock();
        // Pods of one ReplicaSet are alike, and one of them speaks for all.
        let mut kinds: HashMap<(usize, Option<&str>), &Labels> = HashMap::new();
        for pod in needs.selected(key) {
            let labels = Arc::as_ptr(&pod.labels) as usize;
            kinds.insert((labels, pod.no_prefix.as_deref()), &pod.labels);
        }
        let pods = kinds.iter().map(|((_, no_prefix), labels)| (*labels, *no_prefix));
        let selector = selectors::rewritten(&routed.original, pods).map(Arc::new);
        self.selectors.lock().insert(key.clone(), selector.clone());
        Some(selector)
    }

    /// The pods of a Service disagree. Is that news?
    pub fn is_new_disagreement(&self, key: &ObjectKey, disagree: &Disagree) -> bool {
        let told = self.disagreements.lock().insert(key.clone(), disagree.clone());
        told.as_ref() != Some(disagree)
    }

    /// They agree.
    pub fn agreed(&self, key: &ObjectKey) {
        self.disagreements.lock().remove(key);
    }
}

/// The kinds that say whether an object of this kind is needed.
fn needed_by(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::ConfigMap => &[Kind::ConfigMap],
        // The TLS of what routes to Services names them.
        Kind::Secret => &[Kind::Secret, Kind::Service, Kind::Ingress, Kind::HttpRoute],
        Kind::Service => &[Kind::Service],
        Kind::Ingress => &[Kind::Service, Kind::Ingress],
        Kind::HttpRoute => &[Kind::Service, Kind::HttpRoute],
        // They follow nothing that is watched here.
        Kind::ServiceImport | Kind::EndpointSlice => &Kind::ALL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Bar;

    #[test]
    fn what_is_kept_from_us_is_not_known_and_the_rest_is() {
        let (following, key) = (Following::new(&Queues::default()), |kind| {
            ObjectKey::new(kind, "default", "web")
        });
        following.set_pods_listed();
        following.set_targets_listed();
        for kind in [Kind::ConfigMap, Kind::Service, Kind::Ingress] {
            following.originals.set_listing(kind, Listing::Listed);
        }
        for kind in [Kind::Secret, Kind::HttpRoute] {
            following.originals.set_listing(kind, Listing::Barred(Bar::Denied));
        }
        assert!(following.is_known(&key(Kind::Ingress)) && following.is_known(&key(Kind::Service)));
        assert!(!following.is_known(&key(Kind::HttpRoute)) && !following.is_complete());
        following.originals.set_listing(Kind::Service, Listing::Pending);
        assert!(!following.is_known(&key(Kind::Ingress)), "its Services are not known");
    }
}
