//! What is known of one target.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use multicluster_api::resources::Resources;
use multicluster_api::{ClusterSummary, TargetRef};

use crate::core::attempt::{Attempt, Progress};
use crate::core::fit::Nodes;
use crate::core::inflight::InFlight;
use crate::core::misfit::Misfit;
use crate::core::need::copies_within;
use crate::core::pod::Wanted;

/// One target: its summaries, our chaperons in it, and what is on its way there.
pub struct TargetState {
    /// Which target.
    pub target: TargetRef,
    /// A client for its API server, when it is connected.
    pub client: Option<Client>,
    /// Who we are there, if it says so.
    pub user: Option<Arc<str>>,
    /// It is the source itself: what pods use there is there.
    pub own_cluster: bool,
    /// Why it cannot be connected, or the last error of its watches.
    pub trouble: Option<String>,
    /// Its nodes, when it publishes them.
    pub nodes: Nodes,
    /// Placements that the summaries do not show yet.
    pub inflight: InFlight,
    /// Our chaperons, by the UID of their proxy pod.
    pub attempts: AHashMap<String, Attempt>,
    pub(super) summary: Option<Summary>,
    pub(super) listed: Listed,
    /// A call was not answered, and the target has not been heard of since.
    suspect: bool,
    /// Pods that must not run twice, whose chaperon a call may have made that was not answered; and since when.
    unsure: AHashMap<String, Instant>,
    /// Pods were refused since this target was last woken.
    refused: AtomicBool,
}

/// How long a call that was not answered may still be carried out: Linux gives a connection up after about so long
/// (tcp_retries2).
const LATEST: Duration = Duration::from_secs(15 * 60);

/// The part of a ClusterSummary that counts here.
#[derive(Debug)]
pub(super) struct Summary {
    pub allocatable: Resources,
    pub publishes_nodes: bool,
    heartbeat: Option<MicroTime>,
    /// When the heartbeat was last seen to change, by our own clock.
    pub heard: Instant,
}

/// Which first lists are done.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub connected: bool,
    pub summary: bool,
    pub nodes: bool,
    pub chaperons: bool,
}

/// Why a target takes no pods at all just now. The text is what a user reads in the pod's events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Not connected, or its API server does not answer.
    #[error("target unreachable: {0}")]
    Unreachable(String),
    /// Its state is still being read.
    #[error("target not known yet, its state is being read")]
    Syncing,
    /// No ClusterSummary.
    #[error("target has no ClusterSummary, is its agent running?")]
    NoSummary,
    /// Its agent has gone silent.
    #[error("target unreachable: no heartbeat of its agent")]
    Stale,
    /// A call was not answered.
    #[error("target unreachable: it has not answered, and nothing was heard of it since")]
    Suspect,
}

impl TargetState {
    /// A target of which nothing is known yet.
    pub fn new(target: TargetRef) -> Self {
        Self {
            target,
            client: None,
            user: None,
            own_cluster: false,
            trouble: None,
            nodes: Nodes::default(),
            inflight: InFlight::default(),
            attempts: AHashMap::new(),
            summary: None,
            listed: Listed::default(),
            suspect: false,
            unsure: AHashMap::new(),
            refused: AtomicBool::new(false),
        }
    }

    /// Does it take pods just now?
    pub fn available(&self, stale_after: Duration, now: Instant) -> Result<(), Unavailable> {
        self.heard_of(stale_after, now)?;
        if self.suspect {
            return Err(Unavailable::Suspect);
        }
        Ok(())
    }

    /// Is it connected, known, and its agent heard of? So much is asked of a target that has a pod's delegate already.
    pub fn heard_of(&self, stale_after: Duration, now: Instant) -> Result<(), Unavailable> {
        if !self.listed.connected {
            return Err(self
                .trouble
                .clone()
                .map_or(Unavailable::Syncing, Unavailable::Unreachable));
        }
        let Some(summary) = &self.summary else {
            return Err(match (&self.trouble, self.listed.summary) {
                (_, true) => Unavailable::NoSummary,
                (Some(trouble), false) => Unavailable::Unreachable(trouble.clone()),
                (None, false) => Unavailable::Syncing,
            });
        };
        if !self.listed.chaperons || (summary.publishes_nodes && !self.listed.nodes) {
            return Err(self
                .trouble
                .clone()
                .map_or(Unavailable::Syncing, Unavailable::Unreachable));
        }
        if now >= summary.heard + stale_after {
            return Err(Unavailable::Stale);
        }
        Ok(())
    }

    /// When it becomes stale, unless its agent is heard of before.
    pub fn stale_at(&self, stale_after: Duration) -> Option<Instant> {
        Some(self.summary.as_ref()?.heard + stale_after)
    }

    /// The heartbeat that was seen last.
    pub(super) fn heartbeat(&self) -> Option<Timestamp> {
        Some(self.summary.as_ref()?.heartbeat.as_ref()?.0)
    }

    /// May a delegate of this pod, which lives in `namespace`, be running here or come to run?
    pub(super) fn live_attempt(&self, uid: &str, namespace: &str) -> bool {
        let attempt = self.attempts.get(uid);
        attempt.is_some_and(|attempt| attempt.is_live() && *attempt.namespace == *namespace)
    }

    /// Is there room for the pod? Pods that leave it to the target's scheduler are not looked at.
    pub fn fits(&self, wanted: &Wanted) -> Result<(), Misfit> {
        match &self.summary {
            _ if wanted.no_reservation => Ok(()),
            Some(summary) if summary.publishes_nodes => self.nodes.fits(wanted, self.inflight.overlay()),
            Some(summary) => match wanted.requests.lacking(&summary.allocatable).next() {
                Some(resource) => Err(Misfit::TooLarge(resource.to_owned())),
                None => Ok(()),
            },
            None => Err(Misfit::NoNodes),
        }
    }

    /// How much of the room for such pods is free, in parts per billion, if `others` like it come before; `None` when nobody
    /// can tell.
    pub fn room(&self, wanted: &Wanted, others: i64) -> Option<i64> {
        let summary = self.summary.as_ref()?;
        if summary.publishes_nodes && !(wanted.no_reservation && self.nodes.is_empty()) {
            let overlay = self.inflight.overlay();
            let free = self.nodes.copies(wanted, overlay) - others;
            return Some(share(free, self.nodes.capacity(wanted, overlay)));
        }
        if summary.allocatable == Resources::default() {
            return None;
        }
        let mut free = summary.allocatable.clone();
        free.sub(&self.inflight.total());
        let capacity = copies_within(&wanted.requests, &summary.allocatable);
        Some(share(copies_within(&wanted.requests, &free) - others, capacity))
    }

    /// Count the pod from now on, on the node that it is most likely to get.
    pub fn assume(&mut self, uid: &str, wanted: &Wanted) {
        let node = self.nodes.choose(wanted, self.inflight.overlay()).map(str::to_owned);
        self.inflight.assume(uid, wanted.requests.clone(), node.as_deref());
        self.settle(uid, Instant::now());
    }

    /// A delegate on its way, or just arrived, that neither the in-flight account nor a summary counts.
    pub(super) fn is_uncounted(&self, uid: &str) -> bool {
        let counted = match self.attempts.get(uid).map(|attempt| &attempt.progress) {
            Some(Progress::AwaitsFiles | Progress::Waiting) => false,
            Some(Progress::Scheduled {
                node,
                version: Some(version),
            }) => self.nodes.counts(node, *version),
            _ => true,
        };
        !counted && !self.inflight.contains(uid)
    }

    /// Hold the in-flight account against what the pod's chaperon and the summaries say.
    pub(super) fn settle(&mut self, uid: &str, now: Instant) {
        let progress = self.attempts.get(uid).map(|attempt| &attempt.progress);
        if let Some(Progress::Scheduled { node, version }) = progress {
            self.inflight.placed(uid, node, *version);
            self.inflight.bound(uid, now);
            self.confirm();
        }
    }

    pub(super) fn confirm(&mut self) {
        let nodes = &self.nodes;
        self.inflight.confirm(|node, version| nodes.counts(node, version));
    }

    /// A call to it was not answered: no new pods until it is heard of again.
    pub(super) fn suspect(&mut self) {
        self.suspect = true;
    }

    /// Nobody knows whether the pod has a chaperon here.
    pub(super) fn doubt(&mut self, uid: &str, now: Instant) {
        self.unsure.insert(uid.to_owned(), now);
    }

    /// It is known whether the pod has a chaperon here.
    pub(super) fn be_sure(&mut self, uid: &str) {
        self.unsure.remove(uid);
    }

    /// Time passes: doubts that are old are none.
    pub(super) fn expire_doubts(&mut self, now: Instant) {
        self.unsure.retain(|_, since| now < *since + LATEST);
    }

    /// Is it unknown whether the pod has a chaperon here?
    pub fn is_unsure(&self, uid: &str) -> bool {
        self.unsure.contains_key(uid)
    }

    /// Take in a ClusterSummary.
    pub(super) fn set_summary(&mut self, summary: &ClusterSummary, now: Instant) {
        let heartbeat = summary.spec.heartbeat_time.clone();
        let unchanged = self
            .summary
            .as_ref()
            .filter(|known| known.heartbeat == heartbeat)
            .map(|known| known.heard);
        self.suspect &= unchanged.is_some();
        self.summary = Some(Summary {
            allocatable: Resources::parse(&summary.spec.allocatable).unwrap_or_default(),
            publishes_nodes: summary.spec.node_summaries.is_some(),
            heartbeat,
            heard: unchanged.unwrap_or(now),
        });
    }

    /// Remember that pods were refused.
    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Were pods refused since the last call?
    pub(super) fn take_refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }
}

/// A part of a whole, in parts per billion.
fn share(part: i64, whole: i64) -> i64 {
    const BILLION: i128 = 1_000_000_000;
    match whole {
        ..=0 => 0,
        whole => (i128::from(part.max(0)) * BILLION / i128::from(whole)) as i64,
    }
}
