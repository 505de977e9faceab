//! Whether users are to be led to the target.

use std::time::{Duration, Instant};

use multicluster_api::target::Access;

use super::Link;
use crate::source::health::{Health, Reach};

/// Doubt that lasts so long is about this target alone: were it about most of them, the others would be in doubt by now.
const BELIEVE_AFTER: Duration = Duration::from_millis(750);

/// The label that says where a cluster is.
const REGION: &str = "topology.kubernetes.io/region";

/// Does a target serve users? It does while it is well. When it falls silent users go elsewhere long before its pods do.
/// When most targets fall silent at once, supposedly we are cut off, and all stays as it is. Pure.
///
/// `doubted`: for how long it has been in doubt; `held`: together with most others. `None`: as before.
fn serves(health: &Health, doubted: Option<Duration>, held: bool) -> Option<bool> {
    match (health, doubted) {
        (Health::Unknown | Health::CutOff { .. }, _) => None,
        // The verdict follows the doubt, and comes for one target before it comes for the others.
        (Health::NotReady { .. }, Some(_)) if held => None,
        (Health::NotReady { .. }, _) => Some(false),
        (Health::Ready, None) => Some(true),
        (Health::Ready, Some(time)) => (time >= BELIEVE_AFTER && !held).then_some(false),
    }
}

impl Link {
    /// Look at whether the target serves users. `doubted`: since when it is in doubt.
    pub(in crate::source::link) fn judge_site(&self, health: &Health, doubted: &mut Option<Instant>) {
        let now = Instant::now();
        let doubts = self.judge.lock().doubts(now);
        *doubted = doubts.then(|| doubted.unwrap_or(now));
        // Also while nothing is in doubt: the others are judged by it.
        let held = self.is_doubt_held(doubts);
        self.set_serves(serves(health, doubted.map(|since| now.duration_since(since)), held));
    }

    fn is_doubt_held(&self, doubts: bool) -> bool {
        // The way to our own cluster says nothing about the network.
        if self.target.read().access == Access::SelfCluster {
            return false;
        }
        let reach = if doubts { Reach::Silent } else { Reach::Answers };
        let cluster = self.cluster.lock().clone().unwrap_or_else(|| self.node.clone());
        let mut mass_doubt = self.home.mass_doubt.lock();
        mass_doubt.see(&self.node, &cluster, reach, true, Instant::now())
    }

    /// `None`: as it was.
    pub(in crate::source::link) fn set_serves(&self, serves: Option<bool>) {
        let region = self
            .summary
            .lock()
            .as_ref()
            .and_then(|summary| summary.labels.get(REGION).cloned());
        let before = self.follower.facts().serves;
        let news = self.follower.learn(|facts| {
            facts.serves = serves.or(facts.serves);
            facts.region = region.or(facts.region.take());
        });
        if !news {
            return;
        }
        let now = self.follower.facts().serves;
        if now != before {
            tracing::info!(node = self.node, serves = now, "users of the target");
        }
        self.home.following.site_changed(&self.node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_led_away_when_one_target_is_in_doubt_and_not_when_most_are() {
        let not_ready = Health::NotReady {
            reason: "APIServerTimeout",
            message: String::new(),
        };
        let cut_off = Health::CutOff {
            reason: "APIServerTimeout",
            message: String::new(),
        };
        let (short, long) = (Some(Duration::from_millis(500)), Some(Duration::from_secs(1)));
        for (health, doubted, held, expected) in [
            (&Health::Ready, None, false, Some(true)),
            (&Health::Ready, short, false, None),
            (&Health::Ready, long, false, Some(false)),
            (&Health::Ready, long, true, None),
            (&not_ready, None, false, Some(false)),
            (&not_ready, long, false, Some(false)),
            (&not_ready, long, true, None),
            (&cut_off, long, true, None),
            (&cut_off, None, false, None),
            (&Health::Unknown, long, false, None),
        ] {
            assert_eq!(serves(health, doubted, held), expected, "{health:?} {doubted:?} {held}");
        }
    }
}
