//! What must hold, whatever breaks. Pure: judged from what was seen, and from what was broken when.
//!
//! See docs/soak.md for the rules in words.

mod doubles;
mod finalizers;
mod outlived;
mod rest;
mod spans;
mod statuses;
#[cfg(test)]
mod testing;

use std::fmt;

use super::At;
use super::history::{Snapshot, Window};

pub use rest::{left_over, unsettled};

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// One identity of a StatefulSet runs once.
    Identity,
    /// A proxy pod has one live delegate.
    OneDelegate,
    /// A delegate goes with its proxy pod.
    Outlived,
    /// Replicas are what is desired.
    Desired,
    /// A proxy pod shows what its delegate does.
    Status,
    /// A finalizer lets go.
    Finalizer,
    /// Memory does not grow.
    Memory,
    /// Nothing is left when all is deleted.
    LeftOver,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "an identity of a StatefulSet runs twice",
            Self::OneDelegate => "a proxy pod has two delegates",
            Self::Outlived => "a delegate outlives its proxy pod",
            Self::Desired => "replicas are not what is desired",
            Self::Status => "a proxy pod does not show what its delegate does",
            Self::Finalizer => "a finalizer keeps a pod",
            Self::Memory => "memory grows",
            Self::LeftOver => "something is left",
        })
    }
}

/// A promise was broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// When it began to be broken.
    pub at: At,
    /// By what.
    pub what: String,
}

/// Judge all that was seen by the rules that hold at all times.
pub fn violations(history: &[Snapshot], faults: &[Window]) -> Vec<Violation> {
    let mut all = doubles::violations(history, faults);
    all.extend(outlived::violations(history, faults));
    all.extend(statuses::violations(history, faults));
    all.extend(finalizers::violations(history, faults));
    all.sort_by_key(|violation| violation.at);
    all
}
