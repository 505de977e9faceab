//! What the observer has seen, and which faults there were: the facts that rules judge. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::schedule::{How, Place, Subject};
use super::{At, Kind};

/// The answer to list calls: true at some moment between being asked and being answered.
#[derive(Clone, Debug, Serialize)]
pub struct Read<T> {
    /// When it was asked for.
    pub asked: At,
    /// When it had arrived.
    pub answered: At,
    /// What there was.
    pub seen: T,
}

/// All clusters, read at about the same time; those that did not answer are missing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// The source.
    pub source: Option<Read<Source>>,
    /// The targets, in the order of [`super::schedule::TARGETS`].
    pub targets: Vec<Option<Read<Target>>>,
}

/// What there is in the source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Source {
    /// Proxy pods.
    pub pods: Vec<ProxyPod>,
    /// Deployments, StatefulSets and Jobs.
    pub workloads: Vec<Workload>,
    /// Virtual nodes, and whether they are Ready.
    pub nodes: BTreeMap<String, bool>,
}

/// What there is in a target.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Target {
    /// Delegates.
    pub delegates: Vec<Delegate>,
    /// Names of chaperons.
    pub chaperons: Vec<String>,
}

/// A proxy pod.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProxyPod {
    /// Its UID.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// The workload that it belongs to.
    pub workload: String,
    /// The target whose virtual node it is bound to.
    pub target: Option<usize>,
    /// It is being deleted.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub held: bool,
    /// What it shows.
    pub status: Status,
}

/// A delegate.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Delegate {
    /// Its UID.
    pub uid: String,
    /// UID of its proxy pod.
    pub parent_uid: String,
    /// Name of its proxy pod.
    pub parent_name: String,
    /// The workload that its proxy pod belongs to.
    pub workload: String,
    /// It is being deleted.
    pub deleting: bool,
    /// What it does.
    pub status: Status,
}

impl Delegate {
    /// It runs, or may come to run.
    pub fn is_live(&self) -> bool {
        !self.status.is_final()
    }

    /// It belongs to a StatefulSet.
    pub fn is_stateful(&self) -> bool {
        Kind::of(&self.workload) == Some(Kind::StatefulSet)
    }
}

/// The parts of a pod's status that a proxy pod takes over from its delegate, and that matter to users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Pending, Running, Succeeded or Failed.
    pub phase: String,
    /// The condition Ready is True.
    pub ready: bool,
    /// The pod's address.
    pub ip: Option<String>,
    /// Of each container its name, whether it is ready, and its restarts.
    pub containers: Vec<(String, bool, i32)>,
}

impl Status {
    /// Succeeded or Failed.
    pub fn is_final(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Running and Ready.
    pub fn runs(&self) -> bool {
        self.phase == "Running" && self.ready
    }
}

/// A Deployment, a StatefulSet or a Job.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Workload {
    /// Its name, which begins with its kind.
    pub name: String,
    /// Pods that are to run, or to complete.
    pub desired: usize,
    /// Pods that do, as its controller says about its latest generation; nothing when it has not seen that one.
    pub actual: Option<usize>,
}

/// Something was broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// What.
    pub subject: Subject,
    /// How; nothing when it ended by itself.
    pub how: Option<How>,
    /// Since when.
    pub from: At,
    /// Until when; nothing while it still is.
    pub to: Option<At>,
}

impl Window {
    /// When it was, or will be, over.
    pub fn end(&self) -> At {
        self.to.unwrap_or(At::MAX)
    }

    /// It lasts at this time.
    pub fn covers(&self, at: At) -> bool {
        self.from <= at && at <= self.end()
    }

    /// It keeps source and this target from working together.
    pub fn concerns(&self, target: usize) -> bool {
        let here = |place: Place| place == Place::Source || place == Place::Target(target);
        match self.subject {
            Subject::Link(index) => index == target,
            Subject::Agent(place) | Subject::ApiServer(place) | Subject::Etcd(place) => here(place),
            // The garbage collector of the target has a part in the end of a delegate.
            Subject::ControllerManager(place) => place == Place::Target(target),
            // They have no part in what happens to pods that have been placed.
            Subject::Webhook | Subject::Extender | Subject::Scheduler | Subject::TargetScheduler(_) => false,
        }
    }
}
