//! The virtual node of the target.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kube::Client;

use super::Link;
use super::call::probe;
use crate::source::health::{Health, Probe};
use crate::source::keep_node::LEASE_PERIOD;
use crate::source::virtual_node::Wanted;

/// How often a target's health is looked at.
const HEALTH_PERIOD: Duration = Duration::from_millis(500);

impl Link {
    /// Returns when the connection turns out to be dead although the target is well: it should be made anew.
    pub(super) async fn keep_node(&self, client: &Client) {
        let mut shown: Option<(Option<Wanted>, Health)> = None;
        let mut checked = Instant::now();
        loop {
            let Some(health) = self.health(client).await else {
                tracing::warn!(node = self.node, "the watches have died; connecting anew");
                return;
            };
            let wanted = self.wanted();
            let current = (wanted, health);
            // Also when nothing changed here, somebody may have changed the node.
            let due = shown.as_ref() != Some(&current) || checked.elapsed() > LEASE_PERIOD;
            if due && current.1 != Health::Unknown {
                let target = self.target.read().clone();
                match self.keeper.keep(&target, current.0.as_ref(), &current.1).await {
                    Ok(()) => {
                        checked = Instant::now();
                        self.set_healthy(current.1 == Health::Ready);
                        shown = Some(current);
                    }
                    Err(error) => tracing::warn!(node = self.node, %error, "virtual node"),
                }
            }
            tokio::select! { () = self.summary_changed.notified() => {}, () = tokio::time::sleep(HEALTH_PERIOD) => {} }
        }
    }

    fn set_healthy(&self, healthy: bool) {
        if self.healthy.swap(healthy, Ordering::SeqCst) != healthy && healthy {
            self.add_all();
        }
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

    /// `None` when the connection is dead and the target is not.
    async fn health(&self, client: &Client) -> Option<Health> {
        let stale_after = self.home.stale_after;
        let fresh = self.heartbeats.lock().fresh(Instant::now(), stale_after);
        Some(match fresh {
            Some(true) => Health::Ready,
            None => Health::Unknown,
            Some(false) => match probe(client).await {
                // The agent there lives: it is our watch that has died.
                Probe::Answered(heartbeat) if self.heartbeats.lock().is_news(heartbeat) => return None,
                probe => probe.explain(stale_after),
            },
        })
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
