//! Whether a target is well: its agent's heartbeat is seen to change. Pure; time is given by the caller.
//!
//! Heartbeats come through the target's API server, so one that arrives shows that the server answers, that the
//! credentials are good, and that the agent there lives. Only when none arrives, the server is asked which of them
//! failed.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// What is known of a target's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not connected long enough to say.
    Unknown,
    /// All is well.
    Ready,
    /// Something is wrong.
    NotReady {
        /// For conditions and events, in CamelCase.
        reason: &'static str,
        /// For people.
        message: String,
    },
}

/// Heartbeats of one target.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    /// The heartbeat last seen. It is never compared with a clock here: clocks differ.
    last: Option<Timestamp>,
    /// When it was seen to change, by our own clock.
    changed: Option<Instant>,
    began: Instant,
}

impl Heartbeats {
    /// None seen yet.
    pub fn new(now: Instant) -> Self {
        Self {
            last: None,
            changed: None,
            began: now,
        }
    }

    /// A summary was seen. The first one may be old: it says nothing yet.
    pub fn see(&mut self, heartbeat: Option<Timestamp>, now: Instant) {
        if let Some(heartbeat) = heartbeat
            && self.last.replace(heartbeat).is_some_and(|last| last != heartbeat)
        {
            self.changed = Some(now);
        }
    }

    /// Is this heartbeat another one than the last that was seen?
    pub fn is_news(&self, heartbeat: Option<Timestamp>) -> bool {
        heartbeat.is_some() && heartbeat != self.last
    }

    /// Has a heartbeat been seen to change within `stale_after`? `None` while it is too early to say.
    pub fn fresh(&self, now: Instant, stale_after: Duration) -> Option<bool> {
        match self.changed {
            Some(changed) => Some(now.duration_since(changed) < stale_after),
            None if now.duration_since(self.began) < stale_after => None,
            None => Some(false),
        }
    }
}

/// What the target's API server answers when it is asked, after heartbeats stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It gave the summary, with this heartbeat.
    Answered(Option<Timestamp>),
    /// It has no summary.
    NoSummary,
    /// It refuses the credentials.
    Denied(String),
    /// It does not answer, or cannot be reached.
    Unreachable(String),
}

impl Probe {
    /// Why the target is not ready.
    pub fn explain(&self, stale_after: Duration) -> Health {
        let (reason, message) = match self {
            Self::Answered(_) => (
                "AgentNotReporting",
                format!(
                    "the API server answers, but the agent there has sent no heartbeat for {} s",
                    stale_after.as_secs()
                ),
            ),
            Self::NoSummary => (
                "AgentNotReporting",
                "there is no ClusterSummary: install the agent in the target".into(),
            ),
            Self::Denied(message) => (
                "CredentialsRejected",
                format!("the API server refuses the credentials: {message}"),
            ),
            Self::Unreachable(message) => (
                "APIServerUnreachable",
                format!("the API server does not answer: {message}"),
            ),
        };
        Health::NotReady { reason, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: Duration = Duration::from_secs(8);

    fn beat(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[test]
    fn a_heartbeat_counts_when_it_changes() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut beats = Heartbeats::new(began);
        assert_eq!(beats.fresh(at(1), STALE), None);
        // A dead agent's last heartbeat is still there to be read.
        beats.see(beat(100), at(1));
        beats.see(beat(100), at(2));
        assert_eq!(beats.fresh(at(3), STALE), None);
        assert_eq!(beats.fresh(at(9), STALE), Some(false));
        beats.see(beat(102), at(10));
        assert_eq!(beats.fresh(at(11), STALE), Some(true));
        assert_eq!(beats.fresh(at(18), STALE), Some(false));
    }

    #[test]
    fn a_clock_that_is_set_back_does_no_harm() {
        let began = Instant::now();
        let mut beats = Heartbeats::new(began);
        beats.see(beat(500), began);
        beats.see(beat(100), began);
        assert_eq!(beats.fresh(began, STALE), Some(true));
    }

    #[test]
    fn each_failure_has_its_reason() {
        for (probe, expected) in [
            (Probe::Answered(None), "AgentNotReporting"),
            (Probe::Denied("no".into()), "CredentialsRejected"),
            (Probe::Unreachable("timeout".into()), "APIServerUnreachable"),
        ] {
            let Health::NotReady { reason, .. } = probe.explain(STALE) else {
                panic!()
            };
            assert_eq!(reason, expected);
        }
    }
}
