//! The keys of issuers, as they are known now.
//!
//! Fetched keys are fetched again every few minutes, and when a token names a key that nobody knows yet. While that fails,
//! the ones from before count, for an hour. Keys that are gone from the set are gone here with the next fetch. Streams that
//! are open by then go on: their tokens were good.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use multicluster_trust::provider::{Issuer, KeySource};
use multicluster_trust::tokens::KeySet;
use multicluster_trust::{Proof, ProviderRef, Trust};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::jwks::{Fetch, FetchError};
use crate::metrics::Metrics;

/// How often keys are fetched, all being well.
const REFRESH: Duration = Duration::from_secs(300);
/// How soon after the last time at the earliest, whoever asks.
const EARLIEST: Duration = Duration::from_secs(10);
/// How soon after a failure, the first time; and at the latest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// For how long keys count that could not be fetched again.
const LIFE: Duration = Duration::from_secs(3600);
/// How long a request waits for keys.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells of keys that cannot be had, and of the first ones after that.
pub trait Tell: Send + Sync + 'static {
    /// They could not be had, for this reason; once for each change of reason.
    fn keys_unavailable(&self, provider: &ProviderRef, error: &FetchError);
}

/// An issuer, and the task that fetches its keys, if they are fetched: it ends when this goes.
type Kept = (Arc<Entry>, Option<AbortOnDropHandle<()>>);

/// The keys of all issuers that are trusted.
pub struct Keys {
    issuers: Mutex<BTreeMap<ProviderRef, Kept>>,
    fetch: Arc<dyn Fetch>,
    tell: Arc<dyn Tell>,
    metrics: Metrics,
}

struct Entry {
    issuer: Issuer,
    set: Mutex<Option<Arc<KeySet>>>,
    /// How often they have been fetched, or not: tells of each attempt.
    attempts: watch::Sender<u64>,
    wanted: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Instant>,
    fetching: bool,
}

impl Keys {
    /// No issuer is known yet.
    pub fn new(fetch: Arc<dyn Fetch>, tell: Arc<dyn Tell>, metrics: Metrics) -> Self {
        Self {
            issuers: Mutex::default(),
            fetch,
            tell,
            metrics,
        }
    }

    /// Know the issuers that are trusted, and no others. Must be called within a tokio runtime.
    pub fn follow(&self, trust: &Trust) {
        let wanted: BTreeMap<_, _> = trust
            .trusted()
            .filter_map(|trusted| match &trusted.provider.proof {
                Proof::Tokens(issuer) => Some((&trusted.provider.reference, issuer)),
                Proof::Certificates(_) => None,
            })
            .collect();
        let mut issuers = self.issuers.lock();
        issuers.retain(|provider, (entry, _)| wanted.get(provider).is_some_and(|issuer| **issuer == entry.issuer));
        for (provider, issuer) in wanted {
            if !issuers.contains_key(provider) {
                issuers.insert(provider.clone(), self.begin(provider, issuer));
            }
        }
    }

    fn begin(&self, provider: &ProviderRef, issuer: &Issuer) -> Kept {
        let entry = Arc::new(Entry {
            issuer: issuer.clone(),
            set: Mutex::default(),
            attempts: watch::Sender::new(0),
            wanted: Notify::new(),
            state: Mutex::default(),
        });
        match &issuer.keys {
            KeySource::Inline(text) => match KeySet::parse(text.as_bytes()) {
                Ok(set) => *entry.set.lock() = Some(Arc::new(set)),
                Err(error) => self.tell.keys_unavailable(provider, &FetchError::Keys(error)),
            },
            KeySource::Discovery { .. } => {
                let (provider, kept) = (provider.clone(), entry.clone());
                let (fetch, tell, metrics) = (self.fetch.clone(), self.tell.clone(), self.metrics.clone());
                metrics.expect_keys(&provider);
                let task = tokio::spawn(async move { keep(&kept, &provider, &*fetch, &*tell, &metrics).await });
                return (entry, Some(AbortOnDropHandle::new(task)));
            }
        }
        (entry, None)
    }

    /// The keys of this provider's issuer, if they are known.
    pub fn of(&self, provider: &ProviderRef) -> Option<Arc<KeySet>> {
        self.issuers.lock().get(provider)?.0.set.lock().clone()
    }

    /// For a probe: have all keys been asked for once? Whether they came is another matter: an issuer that is down must not
    /// shut others' callers out.
    pub fn check(&self) -> Result<(), String> {
        let issuers = self.issuers.lock();
        let waits = |(entry, task): &&Kept| task.is_some() && *entry.attempts.borrow() == 0;
        match issuers.values().filter(waits).count() {
            0 => Ok(()),
            waiting => Err(format!("the keys of {waiting} issuers have not been fetched yet")),
        }
    }

    /// A token names a key that is not known: fetch anew, unless that was done just now. Whether there is anything new.
    pub async fn refresh(&self, provider: &ProviderRef) -> bool {
        let Some(entry) = self.issuers.lock().get(provider).map(|(entry, _)| entry.clone()) else {
            return false;
        };
        if matches!(entry.issuer.keys, KeySource::Inline(_)) {
            return false;
        }
        let mut attempts = entry.attempts.subscribe();
        {
            let state = entry.state.lock();
            let lately = state.last.is_some_and(|last| last.elapsed() < EARLIEST);
            if lately && !state.fetching {
                return false;
            }
        }
        entry.wanted.notify_one();
        matches!(timeout(PATIENCE, attempts.changed()).await, Ok(Ok(())))
    }
}

/// Fetch them, for as long as they are wanted.
async fn keep(entry: &Entry, provider: &ProviderRef, fetch: &dyn Fetch, tell: &dyn Tell, metrics: &Metrics) {
    let (mut good, mut told, mut again) = (None::<Instant>, None::<String>, AGAIN.0);
    loop {
        entry.state.lock().fetching = true;
        let fetched = fetch.fetch(&entry.issuer).await;
        let now = Instant::now();
        let next = match fetched {
            Ok(set) => {
                *entry.set.lock() = Some(Arc::new(set));
                if told.take().is_some() || good.is_none() {
                    tracing::info!(
                        namespace = provider.namespace,
                        provider = provider.name,
                        "issuer's keys are known"
                    );
                }
                (good, again) = (Some(now), AGAIN.0);
                now + REFRESH
            }
            Err(error) => {
                metrics.key_fetch_failed(provider);
                let reason = error.to_string();
                if told.as_ref() != Some(&reason) {
                    tell.keys_unavailable(provider, &error);
                    told = Some(reason);
                }
                if good.is_none_or(|good| now.duration_since(good) > LIFE) {
                    entry.set.lock().take();
                }
                let next = now + again;
                again = (again * 2).min(AGAIN.1);
                next
            }
        };
        {
            let mut state = entry.state.lock();
            (state.last, state.fetching) = (Some(now), false);
        }
        entry.attempts.send_modify(|attempts| *attempts += 1);
        tokio::select! {
            () = sleep_until(next) => {}
            () = entry.wanted.notified() => sleep_until(now + EARLIEST.min(next - now)).await,
        }
    }
}

#[cfg(test)]
mod tests;
