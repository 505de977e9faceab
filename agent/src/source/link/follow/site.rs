//! Whether users are to be led to the target.

use std::time::{Duration, Instant};

use multicluster_api::target::Access;

use super::Link;
use crate::source::health::{Health, Reach};

/// Doubt that lasts so long is not about most targets, or the others would be in doubt by now, too.
const BELIEVE_AFTER: Duration = Duration::from_millis(750);

/// The label that says where a cluster is.
const REGION: &str = "topology.kubernetes.io/region";

impl Link {
    /// Look at whether the target serves users: it does while it is well. When it falls silent users go elsewhere long
    /// before its pods do. When most targets fall silent at once, supposedly we are cut off, and all stays as it is.
    pub(in crate::source::link) fn judge_site(&self, health: &Health, doubted: &mut Option<Instant>) {
        let now = Instant::now();
        let doubts = self.judge.lock().doubts(now);
        let since = doubts.then(|| doubted.unwrap_or(now));
        *doubted = since;
        // Also while nothing is in doubt: the others' doubt is judged by it.
        let held = self.is_doubt_held(doubts);
        let serves = match health {
            Health::Unknown | Health::CutOff { .. } => None,
            Health::NotReady { .. } if doubts && held => None,
            Health::NotReady { .. } => Some(false),
            Health::Ready => match since {
                None => Some(true),
                Some(since) if !held && now.duration_since(since) >= BELIEVE_AFTER => Some(false),
                Some(_) => None,
            },
        };
        self.set_serves(serves);
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
        let news = self.follower.learn(|facts| {
            facts.serves = serves.or(facts.serves);
            facts.region = region.or(facts.region.take());
        });
        if news {
            let serves = self.follower.facts().serves;
            tracing::info!(node = self.node, ?serves, "users of the target");
            self.home.following.site_changed(&self.node);
        }
    }
}
