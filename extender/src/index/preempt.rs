//! On which nodes preemption helps a pod.
//!
//! kube-scheduler chooses victims by what a virtual node has in sum. When the sum would do without any victim, the pod was
//! refused for a reason that evicting nobody mends: no single node of the target has the room. The target's own
//! scheduler, which knows the delegates' priorities, is the one to make it.

use std::time::Instant;

use super::{Candidate, Index};
use crate::core::pod::SourcePod;

impl Index {
    /// May the pod hope for room on this node when so many victims leave it?
    pub fn preemption_helps(&self, pod: &SourcePod, candidate: &Candidate<'_>, victims: usize, now: Instant) -> bool {
        let state = self.state.read();
        if pod.proxy.is_none() {
            return !state.is_virtual(candidate);
        }
        let Some(target) = state.targets.get(candidate.name) else {
            return false;
        };
        victims > 0 && target.target.serves(&pod.namespace) && target.available(self.policy.stale_after, now).is_ok()
    }
}
