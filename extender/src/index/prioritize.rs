//! How well nodes would take a pod.

use std::time::Instant;

use super::{Candidate, Index};
use crate::core::pod::SourcePod;
use crate::core::score::{MAX_SCORE, scores};

impl Index {
    /// A score of 0 to [`MAX_SCORE`] for each candidate, in their order.
    pub fn prioritize(&self, pod: &SourcePod, candidates: &[Candidate<'_>], now: Instant) -> Vec<i64> {
        let Some(proxy) = &pod.proxy else {
            return vec![0; candidates.len()];
        };
        let names = candidates.iter().map(|candidate| candidate.name);
        let others = self.guesses.others(&pod.uid, names.clone(), now);
        let room = {
            let state = self.state.read();
            let targets = names.map(|name| state.targets.get(name));
            let room = targets
                .zip(others)
                .map(|(target, others)| target.map_or(Some(0), |target| target.room(&proxy.wanted, others)));
            room.collect::<Option<Vec<_>>>()
        };
        // Of some target nobody can tell: no target is better than another.
        let Some(room) = room else {
            return vec![MAX_SCORE; candidates.len()];
        };
        let scores = scores(&room, self.policy.score);
        let mut best = candidates.iter().zip(&scores).filter(|(_, score)| **score == MAX_SCORE);
        // Among equals kube-scheduler chooses at random.
        if let (Some((best, _)), None) = (best.next(), best.next()) {
            self.guesses.guess(&pod.uid, best.name, now);
        }
        scores
    }
}
