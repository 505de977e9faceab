//! Where a pod failed lately.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::ops::compute::Op;
use moka::sync::Cache;
use multicluster_api::TargetRef;

/// Most pods whose failures are remembered, so that a flood of hopeless ones cannot fill the memory.
const MOST: u64 = 100_000;

/// Refusals by targets' own schedulers, by pod UID and target, forgotten by themselves after a while.
#[derive(Clone, Debug)]
pub struct Failures {
    cache: Cache<String, Arc<PodFailures>>,
    ttl: Duration,
}

/// The failures of one pod.
#[derive(Clone, Debug, Default)]
pub struct PodFailures(BTreeMap<TargetRef, (Instant, String)>);

impl PodFailures {
    /// Why the pod failed in a target lately.
    pub fn reason(&self, target: &TargetRef, now: Instant) -> Option<&str> {
        let (until, reason) = self.0.get(target)?;
        (*until > now).then_some(reason)
    }
}

impl Failures {
    /// Remember failures for `ttl`.
    pub fn new(ttl: Duration) -> Self {
        Self {
            cache: Cache::builder().max_capacity(MOST).time_to_live(ttl).build(),
            ttl,
        }
    }

    /// How long a failure is remembered.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A target's scheduler refused the pod.
    pub fn remember(&self, uid: &str, target: &TargetRef, reason: String, now: Instant) {
        self.cache.entry(uid.to_owned()).and_compute_with(|entry| {
            let mut failures = entry
                .map(|entry| entry.into_value().as_ref().clone())
                .unwrap_or_default();
            failures.0.retain(|_, (until, _)| *until > now);
            failures.0.insert(target.clone(), (now + self.ttl, reason));
            Op::Put(Arc::new(failures))
        });
    }

    /// Where a pod failed lately.
    pub fn of(&self, uid: &str) -> Option<Arc<PodFailures>> {
        self.cache.get(uid)
    }

    /// Start over: the pod may go everywhere again.
    pub fn forget(&self, uid: &str) {
        self.cache.invalidate(uid);
    }

    /// Pods with failures, about.
    pub fn pods(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    #[test]
    fn failures_are_kept_by_pod_and_target_until_they_are_old() {
        let (failures, now) = (Failures::new(TTL), Instant::now());
        let (a, b) = (TargetRef::cluster("a"), TargetRef::namespaced("n", "a"));
        failures.remember("1", &a, "full".into(), now);
        failures.remember("1", &b, "down".into(), now + TTL / 2);
        let of = failures.of("1").unwrap();
        assert_eq!((of.reason(&a, now), of.reason(&b, now)), (Some("full"), Some("down")));
        assert_eq!(
            (of.reason(&a, now + TTL), of.reason(&b, now + TTL)),
            (None, Some("down"))
        );
        assert!(failures.of("2").is_none());
    }

    #[test]
    fn a_pod_may_start_over() {
        let failures = Failures::new(TTL);
        failures.remember("1", &TargetRef::cluster("a"), "full".into(), Instant::now());
        failures.forget("1");
        assert!(failures.of("1").is_none());
    }
}
