//! How well nodes would take a pod.

use super::{Candidate, Index};
use crate::core::pod::SourcePod;
use crate::core::score::{MAX_SCORE, scores};

impl Index {
    /// A score of 0 to [`MAX_SCORE`] for each candidate, in their order.
    pub fn prioritize(&self, pod: &SourcePod, candidates: &[Candidate<'_>]) -> Vec<i64> {
        let state = self.state.read();
        let Some(proxy) = &pod.proxy else {
            return vec![0; candidates.len()];
        };
        let targets: Vec<_> = candidates
            .iter()
            .map(|candidate| state.targets.get(candidate.name))
            .collect();
        let room = targets
            .iter()
            .map(|target| target.map_or(Some(0), |target| target.room(&proxy.wanted)));
        match room.collect::<Option<Vec<_>>>() {
            Some(room) => scores(&room, self.policy.score),
            // Of some target nobody can tell: no target is better than another.
            None => vec![MAX_SCORE; candidates.len()],
        }
    }
}
