//! What a change of trust does to what is under way, and its silence.

use std::sync::Arc;
use std::time::Duration;

use multicluster_runtime::health::Pulse;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::authenticate::still_admits;
use crate::denials::Denials;
use crate::flights::{Cut, Flights};
use crate::keys::Keys;
use crate::knowledge::{Knowledge, Known};
use crate::metrics::Metrics;
use crate::past::Past;

/// How often it is asked whether knowledge has become too old.
const LOOK: Duration = Duration::from_millis(100);

/// What changes of trust act on.
pub struct Revoker {
    /// Whom to trust.
    pub knowledge: Arc<Knowledge>,
    /// What is under way.
    pub flights: Flights,
    /// The keys of those that are trusted.
    pub keys: Arc<Keys>,
    /// Those that were trusted.
    pub past: Arc<Past>,
    /// Who is told.
    pub denials: Arc<Denials>,
    /// Counts.
    pub metrics: Metrics,
}

impl Revoker {
    /// Act on changes, until `stop`.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let mut changes = self.knowledge.changes();
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut knowing) = (self.knowledge.last(), true);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.changed() => match changed {
                    Ok(()) => seen = self.changed(&seen),
                    Err(_) => return,
                },
                _ = ticks.tick() => {
                    knowing = self.look(knowing);
                    pulse.beat();
                }
            }
        }
    }

    fn changed(&self, before: &Known) -> Arc<Known> {
        let now = self.knowledge.last();
        self.past
            .remember(&before.trust, &now.trust, |provider| self.keys.of(provider));
        self.keys.follow(&now.trust);
        let cut = self
            .flights
            .cut(Cut::Revoked, |admission| !still_admits(&now.trust, admission));
        self.denials.revoked(&cut);
        let trusted = now.trust.trusted().count();
        tracing::info!(trusted, of = now.trust.providers.len(), "trust has changed");
        now
    }

    fn look(&self, knew: bool) -> bool {
        let knows = self.knowledge.current().is_some();
        if knows {
            if !knew {
                tracing::info!("it is known again whom to trust");
            }
            return true;
        }
        // Also those that came in just before.
        let cut = self.flights.cut(Cut::Unknowing, |_| true);
        let requests = cut.iter().map(|(_, requests)| requests).sum();
        if requests > 0 {
            self.metrics.cut("TrustUnknown", requests);
        }
        if knew && self.knowledge.silence().is_some() {
            tracing::error!(
                requests,
                "the API server is silent: nobody knows whom to trust, requests in flight are cut"
            );
        }
        false
    }
}
