//! An attempt to run a pod in a target: a chaperon, trimmed to what matters for binding.

use std::collections::BTreeMap;
use std::time::Instant;

use k8s_openapi::api::core::v1::PodStatus;
use multicluster_api::chaperon::chaperon_name;
use multicluster_api::{PodChaperon, PodChaperonStatus, TargetRef, names};

/// Longest part of a reason that is kept and told; schedulers of large clusters write long ones.
const LONGEST_REASON: usize = 512;

/// A chaperon, trimmed: 500 of them must not cost more than their names and this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Namespace of the chaperon, and of its proxy pod.
    pub namespace: Box<str>,
    /// Name of the chaperon.
    pub name: Box<str>,
    /// UID of the chaperon.
    pub uid: Box<str>,
    /// How far it came.
    pub progress: Progress,
    /// When it was first seen, or seen to wait no longer for files; by our own clock: clocks of clusters are not compared.
    pub since: Instant,
}

/// How far an attempt came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is no delegate before the pod's ConfigMaps and Secrets are there.
    AwaitsFiles,
    /// The target's scheduler has not decided.
    Waiting,
    /// The delegate has a node.
    Scheduled {
        /// The node in the target.
        node: Box<str>,
        /// resourceVersion at which it was first seen there.
        version: Option<u64>,
    },
    /// The target's scheduler, or its kubelet, refuses the delegate, or the pod's files cannot be brought there: why.
    Refused(String),
    /// The chaperon is being deleted.
    Deleting,
}

impl Attempt {
    /// From a chaperon, with the UID of the proxy pod that it stands for. `None` when it does not say that, when its name
    /// does not follow from that, or when it came through another virtual node: two targets may lead to one cluster.
    pub fn of(chaperon: &PodChaperon, target: &TargetRef, now: Instant) -> Option<(String, Self)> {
        let metadata = &chaperon.metadata;
        let annotations = metadata.annotations.as_ref()?;
        let through = annotations.get(names::VIRTUAL_NODE)?;
        if through != target.virtual_node().as_str() {
            return None;
        }
        let parent = metadata.labels.as_ref()?.get(names::PARENT_UID)?.clone();
        // Anybody with rights in the namespace may write labels, but only one chaperon has the name.
        if metadata.name != Some(chaperon_name(annotations.get(names::PARENT_NAME)?, &parent)) {
            return None;
        }
        let attempt = Self {
            namespace: metadata.namespace.as_deref()?.into(),
            name: metadata.name.as_deref()?.into(),
            uid: metadata.uid.as_deref()?.into(),
            progress: match metadata.deletion_timestamp {
                Some(_) => Progress::Deleting,
                None => match chaperon.status.as_ref().map_or(Progress::Waiting, progress) {
                    Progress::Waiting => files(annotations),
                    Progress::Refused(reason) => Progress::Refused(short(&reason)),
                    known => known,
                },
            },
            since: now,
        };
        Some((parent, attempt))
    }

    /// May the delegate be running, or come to run, in its target?
    pub fn is_live(&self) -> bool {
        use Progress::{AwaitsFiles, Scheduled, Waiting};
        matches!(self.progress, AwaitsFiles | Waiting | Scheduled { .. })
    }
}

/// Did this user make the chaperon? Where it or the target does not say who made it or who we are, RBAC must do.
pub fn made_by(chaperon: &PodChaperon, user: Option<&str>) -> bool {
    match (source_user(chaperon), user) {
        (Some(owner), Some(user)) => owner == user,
        _ => true,
    }
}

/// Who made the chaperon, if it says so.
pub fn source_user(chaperon: &PodChaperon) -> Option<&str> {
    let annotations = chaperon.metadata.annotations.as_ref()?;
    annotations.get(names::SOURCE_USER).map(String::as_str)
}

/// A reason, short enough to be kept and told. A target, or who may write there, chose its length.
pub fn short(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).collect()
}

/// How far a chaperon came of whose delegate nothing is known.
fn files(annotations: &BTreeMap<String, String>) -> Progress {
    match annotations.get(names::FILES_REFUSED) {
        Some(reason) => Progress::Refused(short(&format!("its ConfigMaps and Secrets cannot follow: {reason}"))),
        None if annotations.contains_key(names::AWAITS_FILES) => Progress::AwaitsFiles,
        None => Progress::Waiting,
    }
}

fn progress(status: &PodChaperonStatus) -> Progress {
    if let Some(delegate) = &status.delegate {
        if delegate.deletion_timestamp.is_some() {
            return Progress::Refused("the delegate pod was deleted".into());
        }
        if !delegate.node_name.is_empty() {
            // Also when it has failed or succeeded since: the proxy pod's status is to tell that, once it is bound.
            return Progress::Scheduled {
                node: delegate.node_name.as_str().into(),
                version: delegate.bound_resource_version.parse().ok(),
            };
        }
    }
    if status.pod.phase.as_deref() == Some("Failed") {
        return Progress::Refused(failure(&status.pod));
    }
    // With a nominated node the scheduler is making room there: it will decide again soon.
    if status
        .pod
        .nominated_node_name
        .as_deref()
        .is_some_and(|node| !node.is_empty())
    {
        return Progress::Waiting;
    }
    let mut conditions = status.pod.conditions.iter().flatten();
    let unschedulable = conditions
        .rfind(|c| c.type_ == "PodScheduled" && c.status == "False" && c.reason.as_deref() == Some("Unschedulable"));
    match unschedulable {
        Some(condition) => Progress::Refused(condition.message.clone().unwrap_or_else(|| "unschedulable".into())),
        None => Progress::Waiting,
    }
}

fn failure(status: &PodStatus) -> String {
    let said = [&status.reason, &status.message]
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty());
    let said: Vec<_> = said.map(String::as_str).collect();
    if said.is_empty() {
        "the delegate pod failed".into()
    } else {
        said.join(": ")
    }
}
