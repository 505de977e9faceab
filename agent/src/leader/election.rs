//! What to do about the Lease: pure; the Lease as it was read and the time go in. After client-go's leaderelection.
//!
//! ```text
//! not read ──▶ read ─┬─ there is none ──────────────────────▶ create ──┐
//!                    ├─ nobody's, ours, or too long unchanged ▶ replace ┼──▶ lead, and replace again in time
//!                    └─ somebody's ──▶ wait: it may change ◀────────────┘ somebody was faster
//! ```
//!
//! * Clocks of machines are not compared: a Lease is somebody's for its duration since *we* saw it change.
//! * Every replacement names the resourceVersion that was read, so of two candidates one succeeds.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

use crate::target::index::newer;

/// The duration that a released Lease says, as client-go writes it.
const RELEASED_SECONDS: i32 = 1;

/// The times of an election, as in client-go's `LeaderElectionConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How long others wait after the leader's last sign of life.
    pub lease_duration: Duration,
    /// A leader that could not renew for so long has lost. Less than `lease_duration`.
    pub renew_deadline: Duration,
    /// Time between renewals, and after errors.
    pub retry_period: Duration,
}

/// What a candidate should do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Read the Lease: nothing is known of it.
    Read,
    /// Create this Lease. Who succeeds leads.
    Create(Lease),
    /// Replace the Lease by this one. Who succeeds leads.
    Replace(Lease),
    /// Somebody else leads, at least until then.
    Wait(Instant),
}

/// One candidate's view of the Lease.
#[derive(Clone, Debug)]
pub struct Election {
    name: String,
    identity: String,
    lease_seconds: i32,
    seen: Option<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    /// `None`: there is none.
    lease: Option<Lease>,
    /// When its spec was seen to change, by our own clock.
    changed: Instant,
}

impl Election {
    /// A candidate who has not read the Lease yet. No two may have the same identity.
    pub fn new(name: &str, identity: &str, timings: Timings) -> Self {
        Self {
            name: name.into(),
            identity: identity.into(),
            lease_seconds: timings.lease_duration.as_secs() as i32,
            seen: None,
        }
    }

    /// Take in the Lease as it was read or written; `None` when there is none.
    pub fn observe(&mut self, lease: Option<Lease>, now: Instant) {
        let known = self.lease();
        if let (Some(known), Some(lease)) = (known, &lease)
            && newer(version(known), version(lease))
        {
            // An event may come after the answer to a later write.
            return;
        }
        // A label that somebody sets is not the holder's sign of life.
        let same = |lease: &Lease| known.is_some_and(|known| known.spec == lease.spec);
        let unchanged = lease.as_ref().is_some_and(same);
        let changed = match &self.seen {
            Some(seen) if unchanged => seen.changed,
            _ => now,
        };
        self.seen = Some(Seen { lease, changed });
    }

    /// What to do now. `clock` is written for people to read.
    pub fn campaign(&self, now: Instant, clock: Timestamp) -> Step {
        match &self.seen {
            None => Step::Read,
            Some(Seen { lease: None, .. }) => Step::Create(self.first(clock)),
            Some(Seen {
                lease: Some(lease),
                changed,
            }) => match self.others_until(lease, *changed) {
                Some(until) if until > now => Step::Wait(until),
                _ => Step::Replace(self.claim(lease, clock)),
            },
        }
    }

    /// The Lease with a new sign of life; `None` when it is not ours.
    pub fn renewal(&self, clock: Timestamp) -> Option<Lease> {
        let lease = self.lease().filter(|lease| self.is_ours(lease))?;
        Some(self.claim(lease, clock))
    }

    /// The Lease given back, so that the others need not wait for its end; `None` when it is not ours.
    pub fn release(&self, clock: Timestamp) -> Option<Lease> {
        let mut lease = self.lease().filter(|lease| self.is_ours(lease))?.clone();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(RELEASED_SECONDS);
        spec.acquire_time = Some(MicroTime(clock));
        spec.renew_time = Some(MicroTime(clock));
        Some(lease)
    }

    /// Who holds the Lease, as far as is known.
    pub fn holder(&self) -> &str {
        self.lease().map(holder).unwrap_or_default()
    }

    fn lease(&self) -> Option<&Lease> {
        self.seen.as_ref()?.lease.as_ref()
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        holder(lease) == self.identity
    }

    /// Until when it is somebody else's.
    fn others_until(&self, lease: &Lease, changed: Instant) -> Option<Instant> {
        if holder(lease).is_empty() || self.is_ours(lease) {
            return None;
        }
        // The holder's word counts: it may have other flags than we do.
        let said = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let seconds = said.filter(|seconds| *seconds > 0).unwrap_or(self.lease_seconds);
        Some(changed + Duration::from_secs(seconds.unsigned_abs().into()))
    }

    fn first(&self, clock: Timestamp) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..Default::default()
            },
            spec: Some(LeaseSpec {
                lease_transitions: Some(0),
                acquire_time: Some(MicroTime(clock)),
                ..self.held(LeaseSpec::default(), clock)
            }),
        }
    }

    /// The same Lease, held by us.
    fn claim(&self, lease: &Lease, clock: Timestamp) -> Lease {
        let mut claimed = lease.clone();
        claimed.metadata.managed_fields = None;
        let mut spec = self.held(lease.spec.clone().unwrap_or_default(), clock);
        if !self.is_ours(lease) {
            spec.acquire_time = Some(MicroTime(clock));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        claimed.spec = Some(spec);
        claimed
    }

    fn held(&self, spec: LeaseSpec, clock: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(self.lease_seconds),
            renew_time: Some(MicroTime(clock)),
            ..spec
        }
    }
}

fn holder(lease: &Lease) -> &str {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

fn version(lease: &Lease) -> &str {
    lease.metadata.resource_version.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMINGS: Timings = Timings {
        lease_duration: Duration::from_secs(4),
        renew_deadline: Duration::from_secs(3),
        retry_period: Duration::from_secs(1),
    };

    fn election(identity: &str) -> Election {
        Election::new("agent", identity, TIMINGS)
    }

    fn clock(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn spec(step: Step) -> LeaseSpec {
        match step {
            Step::Create(lease) | Step::Replace(lease) => lease.spec.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// A Lease as `holder` has last renewed it at second `renewed` of its clock.
    fn lease(holder: &str, renewed: i64, version: u64) -> Lease {
        let mut lease = election(holder).first(clock(renewed));
        lease.metadata.resource_version = Some(version.to_string());
        lease
    }

    #[test]
    fn a_lease_that_does_not_exist_is_created() {
        let mut a = election("a");
        let now = Instant::now();
        assert_eq!(a.campaign(now, clock(0)), Step::Read);
        a.observe(None, now);
        let Step::Create(created) = a.campaign(now, clock(0)) else {
            panic!()
        };
        let spec = created.spec.unwrap();
        assert_eq!(
            (spec.holder_identity.as_deref(), spec.lease_transitions),
            (Some("a"), Some(0))
        );
        assert_eq!(spec.lease_duration_seconds, Some(4));
    }

    #[test]
    fn a_lease_counts_from_when_it_was_seen_to_change_whatever_its_clock_says() {
        let (mut b, seen) = (election("b"), Instant::now());
        let at = |millis| seen + Duration::from_millis(millis);
        for renewed in [0, 4_000_000_000] {
            b = election("b");
            b.observe(Some(lease("a", renewed, 1)), seen);
            assert_eq!(b.campaign(at(3999), clock(100)), Step::Wait(at(4000)));
        }
        // A sign of life, and then none.
        b.observe(Some(lease("a", 1, 2)), at(2000));
        assert_eq!(b.campaign(at(5999), clock(100)), Step::Wait(at(6000)));
        let spec = spec(b.campaign(at(6000), clock(100)));
        assert_eq!(
            (spec.holder_identity.as_deref(), spec.lease_transitions),
            (Some("b"), Some(1))
        );
        assert_eq!(spec.acquire_time, Some(MicroTime(clock(100))));
    }

    #[test]
    fn a_change_of_something_else_is_no_sign_of_life() {
        let (mut b, seen) = (election("b"), Instant::now());
        b.observe(Some(lease("a", 0, 1)), seen);
        let mut labelled = lease("a", 0, 2);
        labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        b.observe(Some(labelled), seen + Duration::from_secs(3));
        let Step::Replace(taken) = b.campaign(seen + Duration::from_secs(4), clock(9)) else {
            panic!()
        };
        assert_eq!(version(&taken), "2", "the newest version is the one to replace");
        assert!(taken.metadata.labels.is_some());
    }

    #[test]
    fn old_news_is_no_news() {
        let (mut b, seen) = (election("b"), Instant::now());
        b.observe(Some(lease("b", 5, 12)), seen);
        b.observe(Some(lease("a", 4, 11)), seen);
        assert_eq!(b.holder(), "b");
    }

    #[test]
    fn the_holder_says_how_long_its_lease_is() {
        let (mut b, seen) = (election("b"), Instant::now());
        let mut long = lease("a", 0, 1);
        long.spec.as_mut().unwrap().lease_duration_seconds = Some(60);
        b.observe(Some(long), seen);
        let until = seen + Duration::from_secs(60);
        assert_eq!(b.campaign(seen + Duration::from_secs(59), clock(0)), Step::Wait(until));
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let (mut a, mut b, now) = (election("a"), election("b"), Instant::now());
        a.observe(Some(lease("a", 0, 1)), now);
        let released = a.release(clock(1)).unwrap();
        b.observe(Some(released), now);
        let spec = spec(b.campaign(now, clock(1)));
        assert_eq!(
            (spec.holder_identity.as_deref(), spec.lease_transitions),
            (Some("b"), Some(1))
        );
    }

    #[test]
    fn a_renewal_keeps_the_time_of_acquisition_and_the_count() {
        let (mut a, now) = (election("a"), Instant::now());
        let mut held = lease("a", 0, 1);
        held.spec.as_mut().unwrap().lease_transitions = Some(7);
        a.observe(Some(held), now);
        let spec = a.renewal(clock(9)).unwrap().spec.unwrap();
        assert_eq!(
            (spec.lease_transitions, spec.acquire_time),
            (Some(7), Some(MicroTime(clock(0))))
        );
        assert_eq!(spec.renew_time, Some(MicroTime(clock(9))));
    }

    #[test]
    fn what_is_somebody_elses_is_neither_renewed_nor_released() {
        let (mut a, now) = (election("a"), Instant::now());
        assert!(a.renewal(clock(0)).is_none() && a.release(clock(0)).is_none());
        a.observe(Some(lease("b", 0, 1)), now);
        assert!(a.renewal(clock(0)).is_none() && a.release(clock(0)).is_none());
    }
}
