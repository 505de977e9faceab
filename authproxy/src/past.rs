//! Providers that were believed not long ago: by whose word nobody is let in, but which can still say who it was that was
//! not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use multicluster_trust::tokens::KeySet;
use multicluster_trust::{ProviderRef, Trust, Trusted};
use parking_lot::Mutex;
use tokio::time::Instant;

/// For how long, and how many.
const KEPT: (Duration, usize) = (Duration::from_secs(3600), 16);

/// Providers that were believed not long ago.
#[derive(Default)]
pub struct Past(Mutex<VecDeque<Former>>);

struct Former {
    trusted: Arc<Trusted>,
    keys: Option<Arc<KeySet>>,
    since: Instant,
}

impl Past {
    /// What `before` believed and `now` does not, goes here; `keys` are those of its issuers, as far as they are known.
    pub fn remember(&self, before: &Trust, now: &Trust, keys: impl Fn(&ProviderRef) -> Option<Arc<KeySet>>) {
        let mut past = self.0.lock();
        let believed = |trusted: &Trusted| {
            let verdict = now.providers.get(&trusted.provider.reference);
            verdict.is_some_and(|verdict| matches!(verdict, Ok(now) if now.provider.proof == trusted.provider.proof))
        };
        for trusted in before.trusted().filter(|trusted| !believed(trusted)) {
            past.push_back(Former {
                trusted: trusted.clone(),
                keys: keys(&trusted.provider.reference),
                since: Instant::now(),
            });
        }
        past.retain(|former| former.since.elapsed() < KEPT.0 && !believed(&former.trusted));
        while past.len() > KEPT.1 {
            past.pop_front();
        }
    }

    /// As if they were believed; `None` if there are none.
    pub fn trust(&self) -> Option<Trust> {
        let past = self.0.lock();
        let fresh = past.iter().filter(|former| former.since.elapsed() < KEPT.0);
        let providers = fresh.map(|former| (former.trusted.provider.reference.clone(), Ok(former.trusted.clone())));
        let trust = Trust {
            providers: providers.collect(),
        };
        (!trust.providers.is_empty()).then_some(trust)
    }

    /// The keys of one's issuer.
    pub fn keys(&self, provider: &ProviderRef) -> Option<Arc<KeySet>> {
        let past = self.0.lock();
        let former = past
            .iter()
            .rev()
            .find(|former| former.trusted.provider.reference == *provider)?;
        former.keys.clone()
    }
}
