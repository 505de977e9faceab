//! What watches and the supervisor tell the index.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ahash::AHashSet;
use kube::Client;
use multicluster_api::{ClusterSummary, TargetRef};

use super::target::{Listed, TargetState};
use super::{Index, State};
use crate::core::attempt::Attempt;
use crate::core::attempt::Progress::AwaitsFiles;
use crate::core::nodes::Shard;
use crate::core::pod::Wanted;

impl Index {
    /// A target exists; nothing more is known of it yet.
    pub fn known(&self, target: &TargetRef) {
        self.change(target, |_| {});
    }

    /// All targets that exist are known.
    pub fn set_all_known(&self) {
        self.all_known.store(true, Ordering::Release);
        self.wake_all(&self.state.read());
    }

    /// A target is connected, or connected anew: all that was known of it is to be read again.
    pub fn connected(&self, target: &TargetRef, client: Option<Client>) {
        self.change(target, |state| {
            state.client = client;
            state.user = None;
            state.trouble = None;
            state.listed = Listed {
                connected: true,
                ..Listed::default()
            };
            state.summary = None;
        });
    }

    /// The target says who we are there; known before its chaperons are listed.
    pub fn identified(&self, target: &TargetRef, user: Option<Arc<str>>) {
        self.change(target, |state| state.user = user);
    }

    /// Is the target the source cluster itself?
    pub fn is_own_cluster(&self, target: &TargetRef, own: bool) {
        self.change(target, |state| state.own_cluster = own);
    }

    /// A target cannot be connected.
    pub fn failed(&self, target: &TargetRef, reason: String) {
        self.change(target, |state| {
            state.client = None;
            state.trouble = Some(reason);
            state.listed = Listed::default();
        });
        self.tell_waiters(target);
    }

    /// The Target or ClusterTarget is gone.
    pub fn removed(&self, target: &TargetRef) {
        self.tell_waiters(target);
        let mut state = self.state.write();
        state.targets.remove(target.virtual_node().as_str());
        // Pods that were kept from others because of this one are free.
        self.wake_all(&state);
    }

    /// A watch of this target has an error. What is known of it stays.
    pub fn trouble(&self, target: &TargetRef, error: String) {
        self.change(target, |state| state.trouble = Some(error));
    }

    /// A call to this target was not answered. Until its next heartbeat, which comes within seconds from one that is
    /// well, other pods are spared the same wait.
    pub fn suspect(&self, target: &TargetRef) {
        self.update(target, |state| {
            state.suspect();
            false
        });
    }

    /// A call that was not answered may have made a chaperon for a pod that must not run twice. Until that is known, the
    /// pod goes nowhere else.
    pub fn doubt(&self, target: &TargetRef, uid: &str) {
        self.update(target, |state| {
            state.doubt(uid, Instant::now());
            false
        });
    }

    /// The target refuses the pod: no chaperon is there.
    pub fn be_sure(&self, target: &TargetRef, uid: &str) {
        self.update(target, |state| {
            state.be_sure(uid);
            false
        });
    }

    /// The target's ClusterSummary as it is now; `None` when there is none.
    pub fn summary(&self, target: &TargetRef, summary: Option<&ClusterSummary>, now: Instant) {
        self.change(target, |state| {
            state.listed.summary = true;
            match summary {
                Some(summary) => {
                    state.set_summary(summary, now);
                    state.trouble = None;
                }
                None => state.summary = None,
            }
        });
    }

    /// Has this target been silent for so long that its watches may have died, rather than its agent?
    pub fn should_reconnect(&self, target: &TargetRef, now: Instant) -> bool {
        let state = self.state.read();
        let stale_at = state
            .targets
            .get(target.virtual_node().as_str())
            .and_then(|state| state.stale_at(self.policy.stale_after));
        stale_at.is_some_and(|stale_at| now >= stale_at + self.policy.stale_after)
    }

    /// A NodeSummary as it is now.
    pub fn shard(&self, target: &TargetRef, name: &str, shard: Shard) {
        self.update(target, |state| {
            let grew = state.nodes.apply(name.to_owned(), shard);
            state.confirm();
            grew
        });
    }

    /// A NodeSummary is gone.
    pub fn shard_removed(&self, target: &TargetRef, name: &str) {
        self.update(target, |state| {
            state.nodes.remove(name);
            false
        });
    }

    /// All NodeSummaries were listed: there are no others than these.
    pub fn shards_listed(&self, target: &TargetRef, names: &AHashSet<String>) {
        self.change(target, |state| {
            state.nodes.retain(|name| names.contains(name));
            state.listed.nodes = true;
        });
    }

    /// One of our chaperons as it is now, for the pod with this UID. Whoever may write in one namespace of the target does
    /// not speak for pods of another: a chaperon does not take the place of one in another namespace.
    pub fn attempt(&self, target: &TargetRef, uid: &str, mut attempt: Attempt) {
        let mut state = self.state.write();
        if let Some(known) = state.targets.get_mut(target.virtual_node().as_str()) {
            match known.attempts.get(uid) {
                // While files are on their way, its scheduler has no time to be slow with.
                Some(before)
                    if before.uid == attempt.uid
                        && before.progress == AwaitsFiles
                        && attempt.progress != AwaitsFiles => {}
                Some(before) if before.uid == attempt.uid => attempt.since = before.since,
                Some(before) if before.namespace != attempt.namespace => return,
                _ => {}
            }
            known.be_sure(uid);
            known.attempts.insert(uid.to_owned(), attempt);
            known.settle(uid, Instant::now());
        }
        state.tell(uid);
    }

    /// The answer to the creation of a chaperon, which may come later than what the watch says of it.
    pub fn created(&self, target: &TargetRef, uid: &str, attempt: Attempt) {
        let mut state = self.state.write();
        if state
            .waiters
            .get(uid)
            .is_some_and(|waiter| waiter.gone.contains(&attempt.uid))
        {
            return;
        }
        if let Some(known) = state.targets.get_mut(target.virtual_node().as_str()) {
            known.be_sure(uid);
            if known.attempts.get(uid).is_none_or(|seen| seen.uid != attempt.uid) {
                known.attempts.insert(uid.to_owned(), attempt);
            }
            known.settle(uid, Instant::now());
        }
    }

    /// Is there a delegate on its way that nobody counts? Another replica, or we ourselves before a restart, began it.
    pub fn is_uncounted(&self, target: &TargetRef, uid: &str) -> bool {
        let state = self.state.read();
        let known = state.targets.get(target.virtual_node().as_str());
        known.is_some_and(|known| known.is_uncounted(uid))
    }

    /// Count a delegate that is on its way.
    pub fn count(&self, target: &TargetRef, uid: &str, wanted: &Wanted) {
        self.update(target, |known| {
            known.assume(uid, wanted);
            false
        });
    }

    /// A chaperon is gone.
    pub fn attempt_gone(&self, target: &TargetRef, uid: &str, chaperon: &str) {
        let node = target.virtual_node();
        let mut state = self.state.write();
        if let Some(waiter) = state.waiters.get_mut(uid) {
            waiter.gone.insert(chaperon.into());
        }
        if let Some(known) = state.targets.get_mut(node.as_str())
            && known.attempts.get(uid).is_some_and(|attempt| *attempt.uid == *chaperon)
        {
            known.attempts.remove(uid);
            if known.inflight.forget(uid) {
                self.wake(node.as_str(), known);
            }
        }
        state.tell(uid);
    }

    /// All chaperons were listed: there are no others than these (pod UID, chaperon UID).
    pub fn attempts_listed(&self, target: &TargetRef, listed: &AHashSet<(String, Box<str>)>) {
        let gone: Vec<_> = {
            let state = self.state.read();
            let known = state.targets.get(target.virtual_node().as_str());
            let attempts = known.into_iter().flat_map(|known| &known.attempts);
            let attempts = attempts.map(|(uid, attempt)| (uid.clone(), attempt.uid.clone()));
            attempts.filter(|attempt| !listed.contains(attempt)).collect()
        };
        gone.iter()
            .for_each(|(uid, chaperon)| self.attempt_gone(target, uid, chaperon));
        self.change(target, |state| state.listed.chaperons = true);
    }

    /// Time passes: what was assumed and never shown is dropped.
    pub fn tick(&self, now: Instant) {
        let mut state = self.state.write();
        for (node, target) in &mut state.targets {
            target.expire_doubts(now);
            if target.inflight.expire(now) > 0 {
                self.wake(node, target);
            }
        }
    }

    /// A failure is forgotten by now, so pods that it kept away may come again.
    pub fn failure_expired(&self, target: &TargetRef) {
        self.update(target, |_| true);
    }

    /// Change a target, and wake it when it takes pods then that it did not take before.
    fn change(&self, target: &TargetRef, f: impl FnOnce(&mut TargetState)) {
        let node = target.virtual_node();
        let now = Instant::now();
        let mut state = self.state.write();
        let known = state.targets.entry(node.as_str().to_owned()).or_insert_with(|| {
            let known = TargetState::new(target.clone());
            if self.strangers.lock().remove(node.as_str()) {
                known.refuse();
            }
            known
        });
        let before = known.available(self.policy.stale_after, now).is_ok();
        f(known);
        if !before && known.available(self.policy.stale_after, now).is_ok() {
            self.wake(node.as_str(), known);
        }
    }

    /// Change a target that is known, and wake it when `f` says so.
    fn update(&self, target: &TargetRef, f: impl FnOnce(&mut TargetState) -> bool) {
        let node = target.virtual_node();
        let mut state = self.state.write();
        if let Some(known) = state.targets.get_mut(node.as_str())
            && f(known)
        {
            self.wake(node.as_str(), known);
        }
    }

    fn tell_waiters(&self, target: &TargetRef) {
        let state = self.state.read();
        let known = state.targets.get(target.virtual_node().as_str());
        known
            .into_iter()
            .flat_map(|known| known.attempts.keys())
            .for_each(|uid| state.tell(uid));
    }
}

impl State {
    fn tell(&self, uid: &str) {
        if let Some(waiter) = self.waiters.get(uid) {
            waiter.news.notify_one();
        }
    }
}
