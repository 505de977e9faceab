//! The virtual node of the target.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kube::Client;
use multicluster_api::target::Access;

use super::Link;
use super::call::probe;
use crate::source::health::{Health, Reach};
use crate::source::keep_node::LEASE_PERIOD;
use crate::source::virtual_node::Wanted;

/// Reason of a target that leads to another cluster than before, while the old one cannot be left.
const CLUSTER_CHANGED: &str = "ClusterChanged";
/// How often a target's health is looked at.
const HEALTH_PERIOD: Duration = Duration::from_millis(500);
/// How often a target is asked how it is. The next question waits for the answer to the last one.
const PROBE_PERIOD: Duration = Duration::from_millis(1500);
/// Shortest pause between an answer and the next question.
const PROBE_PAUSE: Duration = Duration::from_millis(200);

impl Link {
    /// Ask the target how it is, for ever.
    pub(super) async fn keep_probing(&self, client: &Client) {
        let patience = self.home.limits.patience();
        loop {
            let asked = Instant::now();
            let probe = probe(client, patience).await;
            let took = asked.elapsed();
            self.judge.lock().probed(probe, took, Instant::now());
            tokio::time::sleep(PROBE_PERIOD.saturating_sub(took).max(PROBE_PAUSE)).await;
        }
    }

    /// Returns when the connection turns out to be dead although the target is well: it should be made anew.
    pub(super) async fn keep_node(&self) {
        let mut shown: Option<(Option<Wanted>, Health, Option<String>)> = None;
        let mut told = None;
        let mut checked = Instant::now();
        let mut doubted = None;
        loop {
            let verdict = self.judge.lock().verdict(Instant::now());
            if verdict.reconnect {
                tracing::warn!(node = self.node, "the watches have died; connecting anew");
                return;
            }
            self.set_answers(verdict.answers);
            let wanted = self.wanted();
            let left_out = wanted.as_ref().and_then(|wanted| wanted.left_out.clone());
            if told != left_out {
                if let Some(left_out) = &left_out {
                    self.keeper.tell_left_out(&self.target.read().clone(), left_out);
                }
                told = left_out;
            }
            let moved = self.moved.lock().clone();
            let health = match moved {
                Some(message) => Health::NotReady {
                    reason: CLUSTER_CHANGED,
                    message,
                },
                None => self.hold(verdict.health).await,
            };
            self.judge_site(&health, &mut doubted);
            let current = (wanted, health, self.cluster_id.lock().clone());
            // Also when nothing changed here, somebody may have changed the node.
            let due = shown.as_ref() != Some(&current) || checked.elapsed() > LEASE_PERIOD;
            if due && current.1 != Health::Unknown {
                let target = self.target.read().clone();
                match self
                    .keeper
                    .keep(&target, current.0.as_ref(), &current.1, current.2.as_deref())
                    .await
                {
                    Ok(()) => {
                        checked = Instant::now();
                        shown = Some(current);
                    }
                    Err(error) => tracing::warn!(node = self.node, %error, "virtual node"),
                }
            }
            tokio::select! { () = self.summary_changed.notified() => {}, () = tokio::time::sleep(HEALTH_PERIOD) => {} }
        }
    }

    /// A target that is silent together with most others is not given up.
    async fn hold(&self, health: Health) -> Health {
        let reach = health.reach();
        // The way to our own cluster says nothing about the network.
        if reach == Reach::Unknown || self.target.read().access == Access::SelfCluster {
            return health;
        }
        let answered_before = match (self.was_ready.get(), reach) {
            (None, Reach::Silent) => match self.keeper.is_ready().await {
                Ok(ready) => *self.was_ready.get_or_init(|| ready),
                // The source's own API server is silent, too: nobody can write anything, and nobody evicts.
                Err(_) => return Health::Unknown,
            },
            (ready, _) => *ready.unwrap_or(&true),
        };
        let cluster = self.cluster.lock().clone().unwrap_or_else(|| self.node.clone());
        let held = self.home.see_failure(&self.node, &cluster, reach, answered_before);
        match health {
            Health::NotReady { reason, message } if held => Health::CutOff { reason, message },
            health => health,
        }
    }

    fn set_answers(&self, answers: bool) {
        if self.answers.swap(answers, Ordering::SeqCst) != answers && answers {
            self.told_held.lock().clear();
            self.add_all();
        }
        self.set_usable();
    }

    fn wanted(&self) -> Option<Wanted> {
        let target = self.target.read();
        let excluded = target
            .excluded_labels_regexp
            .as_deref()
            .map(multicluster_api::options::compile_regexp);
        let excluded = match excluded.transpose() {
            Ok(excluded) => excluded,
            Err(error) => {
                tracing::warn!(node = self.node, error, "excludedLabelsRegexp");
                return None;
            }
        };
        self.summary
            .lock()
            .as_ref()
            .map(|summary| Wanted::new(&target.target, summary, excluded.as_ref()))
    }

    pub(super) async fn renew_lease(&self) {
        let mut ticks = tokio::time::interval(LEASE_PERIOD);
        loop {
            ticks.tick().await;
            if let Err(error) = self.keeper.renew_lease().await {
                tracing::warn!(node = self.node, %error, "renewing the node's Lease");
            }
        }
    }
}
