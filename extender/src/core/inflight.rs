//! Placements that a target's summaries do not show yet.

use std::time::{Duration, Instant};

use ahash::AHashMap;
use multicluster_api::resources::Resources;

use super::fit::Overlay;

/// How long a delegate on its node may take to show in a summary, before we believe the summary without it.
pub const EXPIRY: Duration = Duration::from_secs(30);

/// Pods on their way to one target, and the nodes that they are expected on.
///
/// ```text
///                           placed (real node known)
///                          ┌────┐
///            assume        │    ▼           bound
///   Initial ────────────▶ Assumed ───────────────────▶ Expiring
///                          │    │                       │  │  │
///              forget      │    │ confirm               │  │  │ expire: EXPIRY after its delegate got a node
///        ◀─────────────────┘    │ (a summary counts it) │  │  └──────────▶
///        ◀──────────────────────│───────────────────────┘  │
///                               ▼      confirm             ▼
///                            Deleted ◀─────────────────────┘
/// ```
///
/// Assumptions:
/// * A pod is assumed at most once at a time in a target; assuming it again changes nothing.
/// * Events may come in any order, and more than once: what is not assumed cannot be placed, bound, confirmed or
///   forgotten, and trying so changes nothing.
/// * While an assumed pod has no node, or its delegate's resourceVersion is unknown, no summary can confirm it: it goes
///   by `forget`, or by expiry after its delegate was bound.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    pods: AHashMap<String, Assumed>,
    /// Sums over `pods` by node. A node without pods has no entry.
    nodes: Overlay,
}

#[derive(Clone, Debug)]
struct Assumed {
    requests: Resources,
    /// `None` where the target does not publish its nodes.
    node: Option<Box<str>>,
    /// resourceVersion at which the delegate was on its node.
    version: Option<u64>,
    expires: Option<Instant>,
}

impl InFlight {
    /// Count a pod on a node from now on. `false` when it is counted already.
    pub fn assume(&mut self, uid: &str, requests: Resources, node: Option<&str>) -> bool {
        if self.pods.contains_key(uid) {
            return false;
        }
        let node: Option<Box<str>> = node.map(Into::into);
        if let Some(node) = &node {
            self.nodes.entry(node.clone()).or_default().add(&requests);
        }
        self.pods.insert(
            uid.to_owned(),
            Assumed {
                requests,
                node,
                version: None,
                expires: None,
            },
        );
        true
    }

    /// The delegate is on this node now: count it there instead.
    pub fn placed(&mut self, uid: &str, node: &str, version: Option<u64>) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.version = version;
        if pod.node.as_deref() == Some(node) {
            return;
        }
        let before = pod.node.replace(node.into());
        let requests = pod.requests.clone();
        if let Some(before) = before {
            self.release(&before, &requests);
        }
        self.nodes.entry(node.into()).or_default().add(&requests);
    }

    /// The delegate is bound to its node: a summary must show it before long.
    pub fn bound(&mut self, uid: &str, now: Instant) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.expires.get_or_insert(now + EXPIRY);
        }
    }

    /// Count a pod no longer. Returns whether it was counted.
    pub fn forget(&mut self, uid: &str) -> bool {
        let Some(pod) = self.pods.remove(uid) else { return false };
        if let Some(node) = &pod.node {
            self.release(node, &pod.requests);
        }
        true
    }

    /// Drop all pods that `counted` (node, resourceVersion) says the summaries show.
    pub fn confirm(&mut self, counted: impl Fn(&str, u64) -> bool) {
        self.forget_all(|pod| {
            pod.node
                .as_deref()
                .zip(pod.version)
                .is_some_and(|(node, version)| counted(node, version))
        });
    }

    /// Drop all pods that no summary showed in time. Returns how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        self.forget_all(|pod| pod.expires.is_some_and(|at| at <= now))
    }

    /// Is the pod counted?
    pub fn contains(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// Requests by node.
    pub fn overlay(&self) -> &Overlay {
        &self.nodes
    }

    /// Number of pods.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// No pods at all.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// The sum of all requests, wherever they are expected.
    pub fn total(&self) -> Resources {
        let mut total = Resources::default();
        self.pods.values().for_each(|pod| total.add(&pod.requests));
        total
    }

    fn forget_all(&mut self, which: impl Fn(&Assumed) -> bool) -> usize {
        let gone: Vec<_> = self
            .pods
            .iter()
            .filter(|(_, pod)| which(pod))
            .map(|(uid, _)| uid.clone())
            .collect();
        gone.iter().filter(|uid| self.forget(uid)).count()
    }

    fn release(&mut self, node: &str, requests: &Resources) {
        if let Some(sum) = self.nodes.get_mut(node) {
            sum.sub(requests);
            if sum.pods <= 0 {
                self.nodes.remove(node);
            }
        }
    }
}
