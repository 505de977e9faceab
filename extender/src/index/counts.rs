//! What the index counts: why nodes were refused, and how often refused pods were called back.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a virtual node was refused, in a word for metrics. The whole reason is in the pod's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The pod was not admitted by the webhook.
    NotElected,
    /// The webhook does not serve the pod's namespace.
    NamespaceNotServed,
    /// No target of that name is known.
    UnknownTarget,
    /// The Target is of another namespace.
    OtherNamespace,
    /// The target is not connected, silent, or still being read.
    Unavailable,
    /// The target has no nodes, or none that the pod's constraints permit.
    Constraints,
    /// Nodes are permitted, and full.
    NoRoom,
    /// The target's scheduler refused the pod lately.
    FailedLately,
    /// The pod's delegate runs elsewhere, or may do.
    RunsElsewhere,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NotElected,
        Self::NamespaceNotServed,
        Self::UnknownTarget,
        Self::OtherNamespace,
        Self::Unavailable,
        Self::Constraints,
        Self::NoRoom,
        Self::FailedLately,
        Self::RunsElsewhere,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotElected => "NotElected",
            Self::NamespaceNotServed => "NamespaceNotServed",
            Self::UnknownTarget => "UnknownTarget",
            Self::OtherNamespace => "OtherNamespace",
            Self::Unavailable => "Unavailable",
            Self::Constraints => "Constraints",
            Self::NoRoom => "NoRoom",
            Self::FailedLately => "FailedLately",
            Self::RunsElsewhere => "RunsElsewhere",
        }
    }
}

/// Counters of the index. A filter raises them for each node it refuses, so they are plain atomics.
#[derive(Debug, Default)]
pub struct Counts {
    refusals: [AtomicU64; Kind::ALL.len()],
    wakes: AtomicU64,
}

impl Counts {
    pub(super) fn refused(&self, kind: Kind, nodes: usize) {
        self.refusals[kind as usize].fetch_add(nodes as u64, Ordering::Relaxed);
    }

    pub(super) fn woken(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Virtual nodes that were refused to pods.
    pub fn refusals(&self, kind: Kind) -> u64 {
        self.refusals[kind as usize].load(Ordering::Relaxed)
    }

    /// Times that a virtual node called back the pods it had refused.
    pub fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }
}
