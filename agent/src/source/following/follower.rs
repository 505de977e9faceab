//! What is known of one target, as far as objects follow pods there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::copies::Copies;
use super::facts::Labels;
use super::gates::Gates;
use super::object::ObjectKey;
use super::originals::Version;
use super::progress::{Progress, Standing};
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
    pub(super) facts: Mutex<Facts>,
    progress: Mutex<HashMap<ObjectKey, Progress>>,
    gates: Mutex<Gates>,
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
        self.gates.lock().wait(pod, files)
    }

    /// It waits no more.
    pub fn wait_no_more(&self, pod: &str) {
        self.gates.lock().wait_no_more(pod);
    }

    /// Look at the pods that wait for this file.
    pub fn wake(&self, file: &ObjectKey) {
        for pod in self.gates.lock().waiting_for(file) {
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
        progress.standing(held.as_ref(), version, selector)
    }
}
