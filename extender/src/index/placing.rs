//! What a bind asks of the index, step by step.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use multicluster_api::TargetRef;
use tokio::sync::Notify;

use super::target::Unavailable;
use super::{Index, Verdict, Waiter, verdict};
use crate::core::attempt::Attempt;
use crate::core::pod::Wanted;

/// A target that can be bound to.
#[derive(Clone)]
pub struct Place {
    /// Name of its virtual node.
    pub node: String,
    /// Which target.
    pub target: TargetRef,
    /// A client for its API server.
    pub client: Client,
    /// Who we are there, if it says so.
    pub user: Option<Arc<str>>,
    /// It is the source itself.
    pub own_cluster: bool,
}

/// A chaperon for the pod in some target.
#[derive(Clone)]
pub struct Found {
    /// The target.
    pub target: TargetRef,
    /// A client for its API server, when it is connected.
    pub client: Option<Client>,
    /// Whether the target is heard of: then its chaperon can be removed, and must be.
    pub heard_of: bool,
    /// The chaperon.
    pub attempt: Attempt,
}

/// What is known of the target that a virtual node stands for.
pub enum Whereabouts {
    /// There is no such target.
    Nowhere,
    /// It cannot be asked just now.
    Unknown,
    /// It can be asked.
    Known(TargetRef, Client),
}

/// Why a bind cannot begin, or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node is no virtual node.
    #[error("not a virtual node, or its target is not known yet")]
    Unknown,
    /// A Target of another namespace.
    #[error("target serves another namespace")]
    OtherNamespace,
    /// A namespace without the label: the webhook cannot have seen the pod.
    #[error("{}", verdict::NOT_SERVED)]
    NamespaceNotServed,
    /// Not now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The room that was there when the node was filtered is taken.
    #[error("{0}")]
    NoRoom(String),
}

/// News of one pod's chaperons, for as long as this lives.
pub struct News {
    index: Arc<Index>,
    uid: String,
    notify: Arc<Notify>,
}

impl News {
    /// Wait until something changed since this was last called.
    pub async fn next(&self) {
        self.notify.notified().await;
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.index.state.write().waiters.remove(&self.uid);
    }
}

impl Index {
    /// News of a pod's chaperons. One listener a pod: binds of one pod join.
    pub fn news(self: &Arc<Self>, uid: &str) -> News {
        let mut state = self.state.write();
        let waiter: &mut Waiter = state.waiters.entry(uid.to_owned()).or_default();
        News {
            index: self.clone(),
            uid: uid.to_owned(),
            notify: waiter.news.clone(),
        }
    }

    /// Is this the name of a target's virtual node?
    pub fn is_virtual_node(&self, node: &str) -> bool {
        self.state.read().targets.contains_key(node)
    }

    /// The target behind a node, if it takes pods of this namespace now.
    pub fn place(&self, node: &str, namespace: &str, now: Instant) -> Result<Place, Refusal> {
        let state = self.state.read();
        let known = state.targets.get(node).ok_or(Refusal::Unknown)?;
        if !known.target.serves(namespace) {
            return Err(Refusal::OtherNamespace);
        }
        known.available(self.policy.stale_after, now)?;
        let client = known.client.clone().ok_or(Unavailable::Syncing)?;
        Ok(Place {
            node: node.to_owned(),
            target: known.target.clone(),
            client,
            user: known.user.clone(),
            own_cluster: known.own_cluster,
        })
    }

    /// Is the target connected, known, and its agent heard of?
    pub fn is_heard_of(&self, target: &TargetRef, now: Instant) -> bool {
        let state = self.state.read();
        let known = state.targets.get(target.virtual_node().as_str());
        known.is_some_and(|known| known.heard_of(self.policy.stale_after, now).is_ok())
    }

    /// Can the target behind this node be asked?
    pub fn whereabouts(&self, node: &str, now: Instant) -> Whereabouts {
        let state = self.state.read();
        match state.targets.get(node) {
            None if self.are_all_known() => Whereabouts::Nowhere,
            None => Whereabouts::Unknown,
            Some(known) => match &known.client {
                Some(client) if known.available(self.policy.stale_after, now).is_ok() => {
                    Whereabouts::Known(known.target.clone(), client.clone())
                }
                _ => Whereabouts::Unknown,
            },
        }
    }

    /// The heartbeat of a target that was seen last.
    pub fn heartbeat(&self, target: &TargetRef) -> Option<Timestamp> {
        let state = self.state.read();
        let known = state.targets.get(target.virtual_node().as_str())?;
        known.heartbeat()
    }

    /// When a target becomes stale unless it is heard of; now, when it is gone.
    pub fn stale_at(&self, target: &TargetRef, now: Instant) -> Instant {
        let state = self.state.read();
        let known = state.targets.get(target.virtual_node().as_str());
        known
            .and_then(|known| known.stale_at(self.policy.stale_after))
            .unwrap_or(now)
    }

    /// The chaperon in a target of a pod that lives in `namespace`.
    pub fn attempt_in(&self, target: &TargetRef, uid: &str, namespace: &str) -> Option<Attempt> {
        let state = self.state.read();
        let known = state.targets.get(target.virtual_node().as_str())?;
        let attempt = known.attempts.get(uid)?;
        (*attempt.namespace == *namespace).then(|| attempt.clone())
    }

    /// Another target in which the pod may have a chaperon that nobody has seen.
    pub fn unsure_elsewhere(&self, target: &TargetRef, uid: &str) -> Option<TargetRef> {
        let state = self.state.read();
        let mut others = state.targets.values().filter(|known| known.target != *target);
        others
            .find(|known| known.is_unsure(uid))
            .map(|known| known.target.clone())
    }

    /// The chaperons in targets other than this one of a pod that lives in `namespace`.
    pub fn attempts_elsewhere(&self, target: &TargetRef, uid: &str, namespace: &str, now: Instant) -> Vec<Found> {
        let state = self.state.read();
        let others = state.targets.values().filter(|known| known.target != *target);
        let found = others.filter_map(|known| {
            Some(Found {
                target: known.target.clone(),
                client: known.client.clone(),
                heard_of: known.heard_of(self.policy.stale_after, now).is_ok(),
                attempt: known.attempts.get(uid)?.clone(),
            })
        });
        found.filter(|found| *found.attempt.namespace == *namespace).collect()
    }

    /// Take room for the pod, if there still is any: of two binds, one gets the last slot. A pod whose delegate is in
    /// the target already (`resumed`) has its place there.
    pub fn assume(&self, target: &TargetRef, uid: &str, wanted: &Wanted, resumed: bool) -> Result<(), Refusal> {
        self.guesses.forget(uid);
        let mut state = self.state.write();
        let known = state
            .targets
            .get_mut(target.virtual_node().as_str())
            .ok_or(Refusal::Unknown)?;
        if known.inflight.contains(uid) {
            return Ok(());
        }
        if !resumed && let Err(misfit) = known.fits(wanted) {
            let (Verdict::Failed(reason) | Verdict::Unresolvable(reason)) = Verdict::from(misfit) else {
                return Ok(());
            };
            known.refuse();
            return Err(Refusal::NoRoom(reason.into_owned()));
        }
        known.assume(uid, wanted);
        Ok(())
    }

    /// The pod does not go to the target after all.
    pub fn forget(&self, target: &TargetRef, uid: &str) {
        let node = target.virtual_node();
        let mut state = self.state.write();
        if let Some(known) = state.targets.get_mut(node.as_str())
            && known.inflight.forget(uid)
        {
            self.wake(node.as_str(), known);
        }
    }

    /// What a pod is told that is not a proxy pod and goes to a virtual node.
    pub fn not_elected() -> String {
        match verdict::NOT_ELECTED {
            Verdict::Pass => String::new(),
            Verdict::Failed(reason) | Verdict::Unresolvable(reason) => reason.into_owned(),
        }
    }
}
