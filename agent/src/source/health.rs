//! How a target is, and what tells of it: heartbeats, and the answers of its API server. Pure; time is given by the caller.
//!
//! What follows from both is for [`super::judge`] to say.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// A probe may take so many times what counts as slow: a new connection takes two round trips before the first request.
const PATIENCE: u32 = 3;
/// Longest part of what another API server says that is told.
const MOST_CHARS: usize = 512;

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
    /// It does not answer, and neither do most others: supposedly it is us who are cut off, so its pods stay.
    CutOff {
        /// What is seen of the target itself, as in [`Health::NotReady`].
        reason: &'static str,
        /// For people.
        message: String,
    },
}

/// Does the way to a target work, whatever else may be wrong with it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nobody knows yet.
    Unknown,
    /// Its API server answers.
    Answers,
    /// It does not answer, or not in time.
    Silent,
}

impl Health {
    /// What it says about the way to the target.
    pub fn reach(&self) -> Reach {
        match self {
            Self::Unknown => Reach::Unknown,
            Self::NotReady { reason, .. } | Self::CutOff { reason, .. }
                if [UNREACHABLE, TIMEOUT, SLOW].contains(reason) =>
            {
                Reach::Silent
            }
            _ => Reach::Answers,
        }
    }
}

/// Reason: connections to the API server are refused or reset.
const UNREACHABLE: &str = "APIServerUnreachable";
/// Reason: the API server takes what it is sent and says nothing.
const TIMEOUT: &str = "APIServerTimeout";
/// Reason: answers come, but too late to work with.
pub(super) const SLOW: &str = "TargetSlow";

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

    /// They are watched anew: the last one stays known, and when the next change comes is open.
    pub fn restart(&mut self, now: Instant) {
        (self.changed, self.began) = (None, now);
    }

    /// When one was last seen to change since the watch began.
    pub fn changed(&self) -> Option<Instant> {
        self.changed
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

/// What the target's API server answers when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It gave the summary, with this heartbeat.
    Answered(Option<Timestamp>),
    /// It has no summary.
    NoSummary,
    /// It refuses the credentials.
    Denied(String),
    /// It answers with an error of its own.
    Failing(String),
    /// Connections are refused or reset.
    Unreachable(String),
    /// It says nothing.
    Silent,
}

impl Probe {
    /// Why the target is not ready, given that no heartbeat comes.
    pub(super) fn explain(&self, stale_after: Duration) -> (&'static str, String) {
        let seconds = stale_after.as_secs();
        match self {
            Self::Answered(_) => (
                "AgentNotReporting",
                format!("the API server answers, but the agent there has sent no heartbeat for {seconds} s"),
            ),
            Self::NoSummary => (
                "AgentNotReporting",
                "there is no ClusterSummary: install the agent in the target".into(),
            ),
            Self::Denied(message) => (
                "CredentialsRejected",
                format!("the API server refuses the credentials: {}", short(message)),
            ),
            Self::Failing(message) => (
                "APIServerError",
                format!("the API server answers an error: {}", short(message)),
            ),
            Self::Unreachable(message) => (
                UNREACHABLE,
                format!("the API server cannot be reached: {}", short(message)),
            ),
            Self::Silent => (TIMEOUT, "the API server does not answer".into()),
        }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After how long without a heartbeat a target is given up.
    pub stale_after: Duration,
    /// An answer that takes longer is a slow one.
    pub slow_after: Duration,
}

impl Limits {
    /// How long to wait for one answer.
    pub fn patience(&self) -> Duration {
        self.slow_after * PATIENCE
    }
}

/// The message goes into conditions, of which the API server takes only short ones.
fn short(message: &str) -> String {
    message.chars().take(MOST_CHARS).collect()
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
        let fresh = |beats: &Heartbeats, now| beats.fresh(now, STALE);
        assert_eq!(fresh(&beats, at(1)), None);
        // A dead agent's last heartbeat is still there to be read.
        beats.see(beat(100), at(1));
        beats.see(beat(100), at(2));
        assert_eq!(fresh(&beats, at(3)), None);
        assert_eq!(fresh(&beats, at(9)), Some(false));
        beats.see(beat(102), at(10));
        assert_eq!(fresh(&beats, at(11)), Some(true));
        assert_eq!(fresh(&beats, at(18)), Some(false));
        // A clock that is set back does no harm.
        beats.see(beat(50), at(19));
        assert_eq!(fresh(&beats, at(19)), Some(true));
    }

    #[test]
    fn a_target_that_talks_much_is_cut_short() {
        let (_, message) = Probe::Denied("no ".repeat(1 << 20)).explain(STALE);
        assert!(message.len() < 600 && message.contains("refuses the credentials: no"));
    }
}
