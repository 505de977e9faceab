//! Looks at what is exposed whenever its facts change, soon or at once, and has it written.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use super::apply;
use super::claims::Claims;
use super::facts::{Facts, Touched, essence};
use super::notices::Notices;
use super::policy::Settings;
use super::shelf::Shelf;
use super::site::Exposed;
use super::statuses::Statuses;
use super::withdraw::SHOWN;
use super::{dns_endpoints, slices};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::queue::{Outcome, Queue};
use crate::source::following::object::{Kind, ObjectKey};
use crate::troubles::Troubles;

/// Objects that are worked on at a time.
const CONCURRENCY: usize = 16;
/// How long weights may be out of date: a rollout of 100 pods is not 100 changes of DNS.
const SETTLE: Duration = Duration::from_secs(5);
/// Pause before looking again whether all is known of an object that was never looked at.
const NOT_KNOWN: Duration = Duration::from_millis(200);
/// Pause after a failed look at what an earlier agent has left.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often everything is compared, for what changes without a word: somebody else's claim to a status may have ended.
const RECHECK: Duration = Duration::from_secs(600);

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// An object, and all that is made of it.
    Object(ObjectKey),
    /// The status of a Gateway of the source, by namespace and name.
    Gateway(String, String),
}

/// Keeps what is seen from outside in step with the facts.
pub struct Exposure<F> {
    pub(super) client: Client,
    pub(super) events: Events,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: Settings,
    pub(super) facts: Arc<F>,
    pub(super) queue: Queue<Work>,
    pub(super) dns: Shelf,
    pub(super) slices: Shelf,
    pub(super) statuses: Statuses,
    pub(super) claims: Mutex<Claims>,
    pub(super) notices: Notices,
    /// The facts that were used last.
    pub(super) seen: Mutex<HashMap<ObjectKey, Exposed>>,
    troubles: Troubles<Work>,
}

impl<F: Facts> Exposure<F> {
    /// For the source cluster of this client.
    pub fn new(client: Client, facts: Arc<F>, settings: Settings, events: Events, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            dns: Shelf::new(client.clone(), dns_endpoints::resource()),
            slices: Shelf::new(client.clone(), slices::resource()),
            statuses: Statuses::new(client.clone(), RECHECK),
            queue: Queue::new(&metrics.queues.exposure),
            client,
            events,
            metrics,
            settings,
            facts,
            claims: Mutex::default(),
            notices: Notices::default(),
            seen: Mutex::default(),
            troubles: Troubles::default(),
        })
    }

    /// Work until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let changes = self.facts.subscribe();
        let this = self.clone();
        let work = move |work: Work| {
            let this = this.clone();
            async move { this.work(work).await }
        };
        let touched = |exposes: Option<ObjectKey>| match exposes {
            Some(key) => self.queue.add(Work::Object(key)),
            None => self.add_all(),
        };
        self.add_all();
        tokio::select! {
            () = self.queue.run(CONCURRENCY, stop.clone(), work) => {}
            () = self.listen(changes) => {}
            () = self.dns.watch("dnsendpoints", touched) => {}
            () = self.slices.watch("endpointslices", touched) => {}
            () = self.find_statuses() => {}
        }
    }

    /// Look at everything that is exposed, and at what was.
    fn add_all(&self) {
        let keys = [self.facts.keys(), self.dns.exposed(), self.slices.exposed()];
        for key in keys.into_iter().flatten() {
            self.queue.add(Work::Object(key));
        }
    }

    async fn listen(&self, mut changes: UnboundedReceiver<Touched>) {
        while let Some(first) = changes.recv().await {
            let mut touched = BTreeSet::from([first]);
            while let Ok(next) = changes.try_recv() {
                touched.insert(next);
            }
            touched.into_iter().for_each(|touched| self.touch(touched));
        }
        // Whoever tells of changes has ended, as this agent's term does; it is not for us to end first.
        std::future::pending::<()>().await;
    }

    fn touch(&self, touched: Touched) {
        match touched {
            Touched::Object(key) => {
                if let Some(delay) = self.delay(&key) {
                    self.queue.add_after(Work::Object(key), delay);
                }
            }
            Touched::Gateway(namespace, name) => {
                for route in self.routes(&namespace, &name) {
                    self.touch(Touched::Object(route.key));
                }
                self.queue.add(Work::Gateway(namespace, name));
            }
        }
    }

    /// How soon an object must be looked at, if at all.
    fn delay(&self, key: &ObjectKey) -> Option<Duration> {
        let now = self.facts.exposed(key);
        let seen = self.seen.lock();
        match (now, seen.get(key)) {
            (None, None) => None,
            (Some(now), Some(seen)) if now == *seen => None,
            (Some(now), Some(seen)) if essence(now.clone()) == essence(seen.clone()) => Some(SETTLE),
            _ => Some(Duration::ZERO),
        }
    }

    async fn work(&self, work: Work) -> Outcome {
        if !self.is_known(&work) {
            return Outcome::Again(NOT_KNOWN);
        }
        let result = match &work {
            Work::Object(key) => self.object(key).await,
            Work::Gateway(namespace, name) => self.gateway(namespace, name).await,
        };
        match result {
            Ok(false) => {
                self.troubles.over(&work);
                Outcome::Done
            }
            Ok(true) => {
                self.troubles.over(&work);
                Outcome::Again(RECHECK)
            }
            Err(error) => {
                tracing::warn!(?work, %error, "exposure");
                if self.troubles.failed(work.clone(), Instant::now()) {
                    self.tell_failed(&work, &error);
                }
                Outcome::Retry
            }
        }
    }

    /// What was written once by this agent is kept up to date, whatever becomes unknown; what an earlier one wrote stays
    /// until all is known.
    fn is_known(&self, work: &Work) -> bool {
        let known = |key: &ObjectKey| {
            let seen = self.seen.lock().contains_key(key);
            seen || self.facts.is_known(key)
        };
        match work {
            Work::Object(key) => known(key),
            Work::Gateway(namespace, name) => {
                let routes = self.routes(namespace, name);
                self.facts.is_complete() && routes.iter().all(|route| known(&route.key))
            }
        }
    }

    /// The HTTPRoutes that attach to a Gateway.
    pub(super) fn routes(&self, namespace: &str, name: &str) -> Vec<Exposed> {
        let routes = self.facts.keys().into_iter().filter(|key| key.kind == Kind::HttpRoute);
        let attaches = |route: &Exposed| {
            route
                .gateways
                .iter()
                .any(|(in_, named)| in_ == namespace && named == name)
        };
        routes
            .filter_map(|key| self.facts.exposed(&key))
            .filter(attaches)
            .collect()
    }

    /// Statuses that an earlier agent has written, of objects that may have nothing to show any more.
    async fn find_statuses(&self) {
        for shown in SHOWN {
            let found = loop {
                match apply::ours(&self.client, shown).await {
                    Ok(found) => break found,
                    Err(error) => tracing::warn!(?shown, %error, "statuses of an earlier agent"),
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            };
            for place in found {
                let work = self.statuses.found(shown, place);
                self.queue.add(work);
            }
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
#[path = "tests/world.rs"]
mod world;

#[cfg(test)]
#[path = "tests/controller.rs"]
mod tests;
