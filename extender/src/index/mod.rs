//! What is known of all targets: watch events in, answers out, without waiting.
//!
//! One lock guards it all. It is held for as long as a filter looks at its targets (well under 5 ms at 1,000 of them); watch
//! events are parsed and packed before they take it.

mod counts;
mod events;
mod filter;
mod guesses;
mod namespaces;
mod placing;
mod preempt;
mod prioritize;
pub mod target;
mod verdict;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ahash::{AHashMap, AHashSet};
use multicluster_api::TargetRef;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc};

pub use counts::{Counts, Kind};
pub use filter::Candidate;
pub use placing::{Found, News, Place, Refusal, Whereabouts};
pub use verdict::Verdict;

use crate::core::failures::Failures;
use crate::core::score::ScorePolicy;
use guesses::Guesses;
use namespaces::Namespaces;
use target::TargetState;

/// Most names of unknown nodes that are remembered, to be woken when they turn out to be targets.
const MOST_STRANGERS: usize = 10_000;

/// How targets are judged.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// A target whose agent was silent for so long takes no pods.
    pub stale_after: Duration,
    /// How long a refusal by a target's scheduler keeps the pod from there.
    pub failure_ttl: Duration,
    /// Where pods should rather go.
    pub score: ScorePolicy,
}

/// All targets, by the names of their virtual nodes.
pub struct Index {
    state: RwLock<State>,
    /// All targets that exist are known: one that is not known does not exist.
    all_known: AtomicBool,
    /// Nodes that refused pods because they were no target's, as far as was known.
    strangers: Mutex<AHashSet<String>>,
    namespaces: Namespaces,
    /// Pods on their way that no bind has counted yet.
    guesses: Guesses,
    failures: Failures,
    counts: Counts,
    policy: Policy,
    wakes: mpsc::UnboundedSender<String>,
}

#[derive(Default)]
struct State {
    targets: AHashMap<String, TargetState>,
    /// Binds that wait for news of a pod's chaperons, by pod UID.
    waiters: AHashMap<String, Waiter>,
}

#[derive(Debug, Default)]
struct Waiter {
    news: Arc<Notify>,
    /// UIDs of chaperons whose deletion was seen, so that a late answer to their creation does not bring them back.
    gone: AHashSet<Box<str>>,
}

/// Names of virtual nodes on which refused pods should be tried again.
pub type Wakes = mpsc::UnboundedReceiver<String>;

impl Index {
    /// An index without targets.
    pub fn new(policy: Policy) -> (Self, Wakes) {
        let (wakes, receiver) = mpsc::unbounded_channel();
        let index = Self {
            state: RwLock::default(),
            all_known: AtomicBool::new(false),
            strangers: Mutex::default(),
            namespaces: Namespaces::default(),
            guesses: Guesses::default(),
            failures: Failures::new(policy.failure_ttl),
            counts: Counts::default(),
            policy,
            wakes,
        };
        (index, receiver)
    }

    /// Where pods failed lately.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// What has been counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How targets are judged.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Each target, whether it is connected, and whether it takes pods.
    pub fn conditions(&self, now: Instant) -> Vec<(TargetRef, bool, bool)> {
        let state = self.state.read();
        let condition = |target: &TargetState| {
            let fresh = target.available(self.policy.stale_after, now).is_ok();
            (target.target.clone(), target.listed.connected, fresh)
        };
        state.targets.values().map(condition).collect()
    }

    /// Number of placements that no summary shows yet.
    pub fn in_flight(&self) -> usize {
        self.state
            .read()
            .targets
            .values()
            .map(|target| target.inflight.len())
            .sum()
    }

    /// Try refused pods on this node again.
    fn wake(&self, node: &str, target: &TargetState) {
        if target.take_refused() {
            self.counts.woken();
            // The receiver only goes at shutdown.
            let _ = self.wakes.send(node.to_owned());
        }
    }

    /// Something changed that may free pods for any target.
    fn wake_all(&self, state: &State) {
        state.targets.iter().for_each(|(node, target)| self.wake(node, target));
    }

    fn are_all_known(&self) -> bool {
        self.all_known.load(Ordering::Acquire)
    }

    fn remember_stranger(&self, node: &str) {
        let mut strangers = self.strangers.lock();
        if strangers.len() < MOST_STRANGERS {
            strangers.insert(node.to_owned());
        }
    }
}
