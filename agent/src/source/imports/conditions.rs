//! What a ServiceExport says of itself: conditions as the Multi-Cluster Services API has them
//! (`multicluster.x-k8s.io/v1alpha1`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::clusters::ClusterName;
use super::exportable::Unexportable;

/// Names of clusters that a message lists before it says how many more there are.
const MOST_NAMES: usize = 5;
/// The API server takes no longer messages.
const MAX_MESSAGE: usize = 2048;

/// How far one cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not there yet, or it does not answer now.
    Pending,
    /// The import is there.
    Imported,
    /// An object of that name was made there by somebody else, and stays: which one.
    Taken(String),
    /// The cluster does not let us.
    Refused(String),
}

/// A condition, but for when it came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Which one.
    pub type_: &'static str,
    /// Does it hold?
    pub holds: bool,
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

impl Said {
    fn new(type_: &'static str, holds: bool, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            type_,
            holds,
            reason,
            message,
        }
    }
}

/// The conditions of an export.
pub fn conditions(valid: Result<(), &Unexportable>, progress: &BTreeMap<ClusterName, Progress>) -> [Said; 3] {
    let no_conflict = || Said::new("Conflict", false, "NoConflicts", "");
    if let Err(why) = valid {
        return [
            Said::new("Valid", false, why.reason(), why.to_string()),
            Said::new("Ready", false, "Failed", "nothing is exported"),
            no_conflict(),
        ];
    }
    let is_imported = |progress: &&Progress| **progress == Progress::Imported;
    let imported = progress.values().filter(is_imported).count();
    let troubles = list(progress, |progress| match progress {
        Progress::Refused(why) => Some(why),
        _ => None,
    });
    let taken = list(progress, |progress| match progress {
        Progress::Taken(what) => Some(what),
        _ => None,
    });
    let ready = |holds, reason, message: &str| {
        let message = format!("{message}{}{troubles}", if troubles.is_empty() { "" } else { "; but " });
        Said::new("Ready", holds, reason, message)
    };
    let ready = match imported {
        0 if troubles.is_empty() && taken.is_empty() => ready(false, "Pending", "no cluster has imported it yet"),
        0 => ready(false, "Failed", "no cluster imports it"),
        _ => ready(true, "Exported", "clusters import it"),
    };
    let conflict = match taken.is_empty() {
        true => no_conflict(),
        false => Said::new("Conflict", true, "NameTaken", taken),
    };
    [Said::new("Valid", true, "Valid", ""), ready, conflict]
}

fn list<'a>(
    progress: &'a BTreeMap<ClusterName, Progress>,
    of_interest: impl Fn(&'a Progress) -> Option<&'a String>,
) -> String {
    let all: Vec<_> = progress
        .iter()
        .filter_map(|(cluster, progress)| Some((cluster, of_interest(progress)?)))
        .collect();
    let mut parts: Vec<_> = all
        .iter()
        .take(MOST_NAMES)
        .map(|(cluster, text)| format!("{}: {text}", cluster.as_str()))
        .collect();
    if all.len() > MOST_NAMES {
        parts.push(format!("and {} more", all.len() - MOST_NAMES));
    }
    parts.join("; ").chars().take(MAX_MESSAGE).collect()
}

/// The conditions to write, or nothing if `held` says the same. The time of a transition stays until the status changes.
pub fn merge(held: &[Condition], wanted: [Said; 3], generation: i64, now: Timestamp) -> Option<Vec<Condition>> {
    let mut changed = false;
    let merged = wanted
        .into_iter()
        .map(|said| {
            let status = if said.holds { "True" } else { "False" };
            let known = held.iter().find(|condition| condition.type_ == said.type_);
            let same_status = known.filter(|known| known.status == status);
            let wanted = Condition {
                type_: said.type_.into(),
                status: status.into(),
                reason: said.reason.into(),
                message: said.message,
                observed_generation: Some(generation),
                last_transition_time: same_status.map_or(Time(now), |known| known.last_transition_time.clone()),
            };
            changed |= known != Some(&wanted);
            wanted
        })
        .collect();
    changed.then_some(merged)
}
