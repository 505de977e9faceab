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

/// The conditions of an export: their type, status, reason and message.
pub fn conditions(
    valid: Result<(), &Unexportable>,
    progress: &BTreeMap<ClusterName, Progress>,
) -> [(&'static str, bool, &'static str, String); 3] {
    if let Err(why) = valid {
        let nothing = "nothing is exported".to_owned();
        return [
            ("Valid", false, why.reason(), why.to_string()),
            ("Ready", false, "Failed", nothing),
            ("Conflict", false, "NoConflicts", String::new()),
        ];
    }
    let imported = progress
        .values()
        .filter(|progress| **progress == Progress::Imported)
        .count();
    let troubles = list(progress, |progress| match progress {
        Progress::Refused(why) => Some(why),
        _ => None,
    });
    let taken = list(progress, |progress| match progress {
        Progress::Taken(what) => Some(what),
        _ => None,
    });
    let ready = match (imported, troubles.is_empty(), taken.is_empty()) {
        (0, true, true) => ("Ready", false, "Pending", "no cluster has imported it yet".to_owned()),
        (0, ..) => (
            "Ready",
            false,
            "Failed",
            format!("no cluster has imported it. {troubles}"),
        ),
        (_, true, _) => ("Ready", true, "Exported", "clusters import it".to_owned()),
        (_, false, _) => (
            "Ready",
            true,
            "Exported",
            format!("clusters import it, but: {troubles}"),
        ),
    };
    let conflict = match taken.is_empty() {
        true => ("Conflict", false, "NoConflicts", String::new()),
        false => ("Conflict", true, "NameTaken", taken),
    };
    [("Valid", true, "Valid", String::new()), ready, conflict]
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
pub fn merge(
    held: &[Condition],
    wanted: [(&'static str, bool, &'static str, String); 3],
    generation: i64,
    now: Timestamp,
) -> Option<Vec<Condition>> {
    let mut changed = false;
    let merged = wanted
        .into_iter()
        .map(|(type_, is_true, reason, message)| {
            let status = if is_true { "True" } else { "False" };
            let known = held.iter().find(|condition| condition.type_ == type_);
            let same_status = known.filter(|known| known.status == status);
            let wanted = Condition {
                type_: type_.into(),
                status: status.into(),
                reason: reason.into(),
                message,
                observed_generation: Some(generation),
                last_transition_time: same_status.map_or(Time(now), |known| known.last_transition_time.clone()),
            };
            changed |= known != Some(&wanted);
            wanted
        })
        .collect();
    changed.then_some(merged)
}
