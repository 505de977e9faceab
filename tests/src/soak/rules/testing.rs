//! Made-up histories.

use std::time::Duration;

use super::super::At;
use super::super::history::{Delegate, ProxyPod, Read, Snapshot, Source, Status, Target, Window};
use super::super::schedule::{How, Subject};
use crate::Network;

/// Seconds.
pub fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A link that was cut.
pub fn cut(target: usize, from: u64, to: u64) -> Window {
    Window {
        subject: Subject::Link(target),
        how: Some(How::Network(Network::Dropping)),
        from: s(from),
        to: Some(s(to)),
    }
}

/// A read that took a tenth of a second.
pub fn read<T>(asked: At, seen: T) -> Read<T> {
    Read {
        asked,
        answered: asked + Duration::from_millis(100),
        seen,
    }
}

/// A snapshot of a source and two targets, all of which answer.
pub fn snapshot(asked: At, pods: Vec<ProxyPod>, delegates: [Vec<Delegate>; 2]) -> Snapshot {
    let target = |delegates| {
        let seen = Target {
            delegates,
            ..Default::default()
        };
        Some(read(asked, seen))
    };
    Snapshot {
        source: Some(read(
            asked,
            Source {
                pods,
                ..Default::default()
            },
        )),
        targets: delegates.map(target).into(),
    }
}

/// The same every second.
pub fn lasting(seconds: std::ops::Range<u64>, pods: &[ProxyPod], delegates: [&[Delegate]; 2]) -> Vec<Snapshot> {
    let at = |second| snapshot(s(second), pods.to_vec(), delegates.map(<[_]>::to_vec));
    seconds.map(at).collect()
}

/// A status.
pub fn status(phase: &str) -> Status {
    Status {
        phase: phase.into(),
        ready: phase == "Running",
        ..Default::default()
    }
}

/// A proxy pod with this UID, bound to the first target.
pub fn pod(uid: &str) -> ProxyPod {
    ProxyPod {
        uid: uid.into(),
        name: "web".into(),
        workload: "deployment-0".into(),
        target: Some(0),
        held: true,
        status: status("Running"),
        ..Default::default()
    }
}

/// A delegate of the proxy pod with this UID.
pub fn delegate(uid: &str, parent: &str) -> Delegate {
    Delegate {
        uid: uid.into(),
        parent_uid: parent.into(),
        parent_name: "web".into(),
        workload: "deployment-0".into(),
        status: status("Running"),
        ..Default::default()
    }
}
