//! What is known of one target, as far as objects follow pods there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::copies::Copies;
use super::facts::Labels;
use super::object::{Kind, ObjectKey};
use super::originals::Version;
use super::refusal::Refusal;
use crate::queue::Queue;
use crate::queue_metrics::QueueMetrics;
use crate::troubles::Troubles;

/// What is to be looked at in a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// An object's copy.
    Copy(ObjectKey),
    /// Has a pod, by its UID, all its files there?
    Gate(String),
}

/// One target, for as long as its Target object exists.
pub struct Follower {
    /// Name of its virtual node.
    pub node: Arc<str>,
    /// The only namespace that it serves, if it is not a whole cluster.
    pub namespace: Option<String>,
    /// Work to be done there.
    pub queue: Queue<Job>,
    /// What is there of ours.
    pub copies: Copies,
    /// Work that fails without an answer.
    pub troubles: Troubles<ObjectKey>,
    usable: AtomicBool,
    watched: AtomicBool,
    facts: Mutex<Facts>,
    progress: Mutex<HashMap<ObjectKey, Progress>>,
    gates: Mutex<Gates>,
}

/// Pods, by UID, whose delegates wait for files.
#[derive(Debug, Default)]
struct Gates {
    /// Since when each of them has waited, and for what.
    pods: HashMap<String, (std::time::Instant, Vec<ObjectKey>)>,
    /// Who waits for a file.
    waiting: HashMap<ObjectKey, HashSet<String>>,
}

/// What is known of the cluster behind a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its identity.
    pub cluster_id: Option<String>,
    /// It is the source itself.
    pub own: bool,
    /// Its region.
    pub region: Option<String>,
    /// The network of its pods; empty for the default one.
    pub network: String,
    /// Does it serve users? `None`: nobody knows yet.
    pub serves: Option<bool>,
    /// All chaperons there are known.
    pub chaperons_listed: bool,
    /// The user that it knows us as.
    pub user: Option<String>,
}

/// How far an object's copy is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// How it was found or left last.
    pub settled: Option<Settled>,
    /// Why it is not there.
    pub refused: Option<Refusal>,
    /// Since when nothing needs it.
    pub unneeded: Option<Instant>,
    /// How often it was put back lately after somebody had changed it, and when last.
    put_back: Option<(u32, Instant)>,
}

/// How an object's copy was found or left.
#[derive(Clone, Debug)]
pub enum Settled {
    /// It is there.
    Done(Done),
    /// The object, at this version, is not meant to follow pods.
    LeftOut(Version),
}

/// A copy in step.
#[derive(Clone, Debug)]
pub struct Done {
    /// With this version.
    pub version: Version,
    /// Of a Service: with this selector.
    pub selector: Option<Arc<Labels>>,
    /// As it is there.
    pub fingerprint: String,
    /// The object there.
    pub uid: String,
}

/// Is a copy as it should be?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    InStep,
    /// It cannot be.
    Refused(Refusal),
    /// Not yet.
    Pending,
}

/// A copy that somebody else changes is put back at once; one who goes on is answered less and less often.
const PUT_BACK_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PUT_BACK_PAUSE: Duration = Duration::from_secs(60);
/// After so long without a change it begins anew.
const PEACE: Duration = Duration::from_secs(120);

impl Follower {
    /// Of the target behind this virtual node.
    pub fn new(node: &str, namespace: Option<String>, facts: Facts, metrics: &QueueMetrics) -> Self {
        Self {
            node: node.into(),
            namespace,
            queue: Queue::new(metrics),
            copies: Copies::default(),
            troubles: Troubles::default(),
            usable: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            facts: Mutex::new(facts),
            progress: Mutex::default(),
            gates: Mutex::default(),
        }
    }

    /// Look at this object's copy.
    pub fn add(&self, key: ObjectKey) {
        self.queue.add(Job::Copy(key));
    }

    /// What is known of the cluster.
    pub fn facts(&self) -> Facts {
        self.facts.lock().clone()
    }

    /// Learn something. Returns whether it is news.
    pub fn learn(&self, change: impl FnOnce(&mut Facts)) -> bool {
        let mut facts = self.facts.lock();
        let before = facts.clone();
        change(&mut facts);
        *facts != before
    }

    /// The cluster can be asked, and it is known which one it is, and who we are there.
    ///
    /// Returns whether it was otherwise before.
    pub fn set_usable(&self, usable: bool) -> bool {
        self.usable.swap(usable, Ordering::SeqCst) != usable
    }

    /// Its copies are being watched.
    pub fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::SeqCst);
    }

    /// Are its copies being watched?
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::SeqCst)
    }

    /// Can it be asked?
    pub fn is_usable(&self) -> bool {
        self.usable.load(Ordering::SeqCst)
    }

    /// Does it serve this namespace?
    pub fn serves(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|served| served == namespace)
    }

    /// The target is connected anew. Who we are there may have changed, and with it what our copies look like.
    pub fn restart(&self, cluster_id: Option<String>) {
        let other = self.learn(|facts| {
            facts.chaperons_listed &= facts.cluster_id == cluster_id;
            facts.cluster_id = cluster_id;
        });
        if other {
            self.copies.clear();
            self.progress.lock().clear();
        }
        self.copies.restart();
    }

    /// This pod's delegate waits for these files, and is looked at when one of them changes. Returns since when.
    pub fn wait(&self, pod: &str, files: &[ObjectKey]) -> std::time::Instant {
        let mut gates = self.gates.lock();
        for file in files {
            gates.waiting.entry(file.clone()).or_default().insert(pod.to_owned());
        }
        let (since, waits_for) = gates
            .pods
            .entry(pod.to_owned())
            .or_insert((std::time::Instant::now(), vec![]));
        *waits_for = files.to_vec();
        *since
    }

    /// It waits no more.
    pub fn wait_no_more(&self, pod: &str) {
        let mut gates = self.gates.lock();
        for file in gates.pods.remove(pod).into_iter().flat_map(|(_, files)| files) {
            if let Some(waiting) = gates.waiting.get_mut(&file) {
                waiting.remove(pod);
                if waiting.is_empty() {
                    gates.waiting.remove(&file);
                }
            }
        }
    }

    /// Look at the pods that wait for this file.
    pub fn wake(&self, file: &ObjectKey) {
        let gates = self.gates.lock();
        for pod in gates.waiting.get(file).into_iter().flatten() {
            self.queue.add(Job::Gate(pod.clone()));
        }
    }

    /// How far the copy is.
    pub fn progress(&self, key: &ObjectKey) -> Progress {
        self.progress.lock().get(key).cloned().unwrap_or_default()
    }

    /// Note how far it is now.
    pub fn note<T>(&self, key: &ObjectKey, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(self.progress.lock().entry(key.clone()).or_default())
    }

    /// Nothing is to be known of it any more.
    pub fn forget(&self, key: &ObjectKey) {
        self.progress.lock().remove(key);
        self.troubles.over(key);
    }

    /// Forget all that was delivered: it is compared anew.
    pub fn forget_all(&self) {
        self.progress.lock().clear();
    }

    /// Is the copy in step with this version of the object?
    pub fn standing(&self, key: &ObjectKey, version: &Version, selector: Option<&Arc<Labels>>) -> Standing {
        let held = self.copies.get(key).filter(|held| held.ours && !held.deleting);
        let progress = self.progress.lock();
        let Some(progress) = progress.get(key) else {
            return Standing::Pending;
        };
        if let Some(refusal) = &progress.refused {
            return Standing::Refused(refusal.clone());
        }
        let in_step = match (&progress.settled, held) {
            (Some(Settled::Done(done)), Some(held)) => {
                let as_it_was = done.uid == held.uid && done.fingerprint == held.fingerprint;
                as_it_was && done.version.covers(version) && done.selector.as_ref() == selector
            }
            (Some(Settled::LeftOut(left_out)), _) => left_out.covers(version),
            _ => false,
        };
        if in_step { Standing::InStep } else { Standing::Pending }
    }
}

impl Progress {
    /// Somebody has changed the copy. How long to wait before it is put back?
    pub fn pause(&self, now: Instant) -> Duration {
        match self.put_back {
            Some((times, last)) if now.duration_since(last) < PEACE => {
                let pause = PUT_BACK_PAUSE
                    .saturating_mul(1 << times.min(10))
                    .min(LONGEST_PUT_BACK_PAUSE);
                pause.saturating_sub(now.duration_since(last))
            }
            _ => Duration::ZERO,
        }
    }

    /// It was put back.
    pub fn put_back(&mut self, now: Instant) {
        let times = match self.put_back {
            Some((times, last)) if now.duration_since(last) < PEACE => times + 1,
            _ => 0,
        };
        self.put_back = Some((times, now));
    }
}

/// All targets, by their virtual nodes.
#[derive(Default)]
pub struct Followers(parking_lot::RwLock<BTreeMap<Arc<str>, Arc<Follower>>>);

impl Followers {
    /// A target is known.
    pub fn add(&self, follower: Arc<Follower>) {
        self.0.write().insert(follower.node.clone(), follower);
    }

    /// A target is gone.
    pub fn remove(&self, node: &str) {
        self.0.write().remove(node);
    }

    /// The one behind this virtual node.
    pub fn get(&self, node: &str) -> Option<Arc<Follower>> {
        self.0.read().get(node).cloned()
    }

    /// All of them, in order.
    pub fn all(&self) -> Vec<Arc<Follower>> {
        self.0.read().values().cloned().collect()
    }

    /// Those whose cluster needs an object that is needed behind `nodes`, or that have its copy.
    pub fn concerned(&self, key: &ObjectKey, nodes: &BTreeSet<Arc<str>>) -> Vec<Arc<Follower>> {
        let all = self.0.read();
        let needing = all.values().filter(|one| nodes.contains(&one.node));
        let clusters: HashSet<_> = needing.filter_map(|one| one.facts.lock().cluster_id.clone()).collect();
        let shares = |one: &Follower| {
            let facts = one.facts.lock();
            facts.cluster_id.as_ref().is_some_and(|id| clusters.contains(id))
        };
        let concerned = |one: &&Arc<Follower>| nodes.contains(&one.node) || shares(one) || one.copies.contains(key);
        all.values().filter(concerned).cloned().collect()
    }

    /// Those that lead to the same cluster as this one, itself included, in order.
    pub fn mates(&self, follower: &Arc<Follower>) -> Vec<Arc<Follower>> {
        let Some(id) = follower.facts().cluster_id else {
            return vec![follower.clone()];
        };
        let all = self.0.read();
        let same = |other: &&Arc<Follower>| {
            Arc::ptr_eq(other, follower) || other.facts.lock().cluster_id.as_deref() == Some(id.as_str())
        };
        all.values().filter(same).cloned().collect()
    }
}

/// For how long a copy that nothing needs stays, since its pods may be about to come back.
///
/// A rolling restart has a new pod before the last one goes, but `Recreate` has none for a moment. To make a ConfigMap
/// again costs one write. A load balancer that goes takes its address with it, and the one that comes in its place takes
/// minutes: so what may have one waits for a person, or an autoscaler, who changes his mind. DNS does not wait: it goes by
/// ready pods.
pub fn grace(kind: Kind) -> Duration {
    match kind {
        Kind::ConfigMap | Kind::Secret => Duration::from_secs(5),
        Kind::Service | Kind::Ingress | Kind::HttpRoute => Duration::from_secs(20),
        // What nobody exports any more is gone at once.
        Kind::ServiceImport | Kind::EndpointSlice => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(node: &str, cluster: Option<&str>) -> Arc<Follower> {
        let facts = Facts {
            cluster_id: cluster.map(Into::into),
            ..Facts::default()
        };
        Arc::new(Follower::new(node, None, facts, &QueueMetrics::default()))
    }

    #[test]
    fn targets_of_one_cluster_know_one_another() {
        let followers = Followers::default();
        let all = [
            follower("a", Some("x")),
            follower("b", Some("y")),
            follower("c", Some("x")),
            follower("d", None),
            follower("e", None),
        ];
        all.iter().for_each(|one| followers.add(one.clone()));
        let mates = |one| {
            followers
                .mates(one)
                .iter()
                .map(|mate| mate.node.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(mates(&all[2]), ["a", "c"]);
        assert_eq!(mates(&all[1]), ["b"]);
        // Nobody knows whether these are one.
        assert_eq!(mates(&all[3]), ["d"]);
    }

    #[test]
    fn who_goes_on_changing_a_copy_is_answered_less_and_less() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let (mut now, mut times) = (start, 0);
        while now < start + Duration::from_secs(3600) {
            let pause = progress.pause(now);
            if pause.is_zero() {
                progress.put_back(now);
                times += 1;
                now += Duration::from_millis(10);
            } else {
                now += pause;
            }
        }
        assert!((60..75).contains(&times), "{times} in an hour");
        assert_eq!(progress.pause(now + PEACE), Duration::ZERO);
    }
}
