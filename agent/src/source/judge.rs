//! Whether a target is well. Pure; time is given by the caller.
//!
//! ```text
//! watch ──heartbeats──▶ ┐                                    ┌▶ health of the node and the Target
//!                       ├─▶ Judge ──verdict──────────────────┼▶ may the target be asked for anything?
//! probe ──answers─────▶ ┘                                    └▶ are the watches dead, and the target is not?
//! ```
//!
//! Heartbeats come through the target's API server, so one that arrives shows that the server answers and that the
//! agent there lives. They do not show all: a watch that is open goes on after its credentials were revoked, and over a
//! way that has become too slow to work with. So the server is asked at the same time, again and again. Its answers also
//! tell why heartbeats stopped.
//!
//! A target that is given up costs: its pods are replaced elsewhere. To lead users to other clusters for a while costs
//! nothing, so that needs less: silence of both kinds, for a shorter time. That is doubt.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::health::{Health, Heartbeats, Limits, Probe, SLOW};

/// So many slow answers in a row make a target slow, and so many fast ones heal it.
const IN_A_ROW: u32 = 3;
/// So many refusals in a row make credentials bad. One says little: an API server that has just started refuses what
/// it has not read the permissions for yet.
const REFUSALS: u32 = 2;
/// An answer that is older says nothing about now: this process itself was stopped meanwhile.
const RECENT: Duration = Duration::from_secs(10);
/// A target that has sent no heartbeat for so long, and does not answer either, is in doubt. Two heartbeats are missing
/// then, or one was late and the other lost.
const DOUBT_AFTER: Duration = Duration::from_secs(4);
/// A target that fails again so soon after it was well has relapsed.
const RELAPSE: Duration = Duration::from_secs(30);
/// How long a target must be well after its first relapse before it counts as well; it doubles up to [`LONGEST_CALM`].
const CALM: Duration = Duration::from_secs(5);
const LONGEST_CALM: Duration = Duration::from_secs(60);

/// What follows from what is known of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to show.
    pub health: Health,
    /// The target can be asked for things, though perhaps slowly.
    pub answers: bool,
    /// The connection is dead although the target is not: it should be made anew.
    pub reconnect: bool,
}

/// Judges one target by its heartbeats and answers.
#[derive(Clone, Debug)]
pub struct Judge {
    limits: Limits,
    beats: Heartbeats,
    last: Option<(Probe, Instant)>,
    refusals: u32,
    /// Answers in a row that contradict `slow`.
    contrary: u32,
    slow: bool,
    /// The health last told.
    told: Health,
    /// Since when `told` is Ready after it was not.
    recovered: Option<Instant>,
    /// Since when nothing is wrong, whatever was told.
    well_since: Option<Instant>,
    relapses: u32,
}

impl Judge {
    /// Nothing is known yet.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            beats: Heartbeats::new(now),
            last: None,
            refusals: 0,
            contrary: 0,
            slow: false,
            told: Health::Unknown,
            recovered: None,
            well_since: None,
            relapses: 0,
        }
    }

    /// The target is connected anew, perhaps with other credentials. What was told before holds until more is known.
    pub fn connected(&mut self, now: Instant) {
        self.beats.restart(now);
        (self.last, self.refusals, self.contrary) = (None, 0, 0);
    }

    /// The target cannot be connected: this is told until it can.
    pub fn failed(&mut self, health: Health) {
        self.told = health;
    }

    /// The watch has shown a summary. Returns whether its heartbeat is another one than the last.
    pub fn heard(&mut self, heartbeat: Option<Timestamp>, now: Instant) -> bool {
        let news = self.beats.is_news(heartbeat);
        self.beats.see(heartbeat, now);
        news
    }

    /// A probe has ended.
    pub fn probed(&mut self, probe: Probe, took: Duration, now: Instant) {
        self.refusals = match probe {
            Probe::Denied(_) => self.refusals + 1,
            _ => 0,
        };
        let heard_meanwhile = self.beats.changed().is_some_and(|at| now.duration_since(at) < took);
        let says_how_fast = match probe {
            // Refused connections are quick.
            Probe::Unreachable(_) => false,
            // Late, if other things come through; else there is nobody to be late.
            Probe::Silent => heard_meanwhile,
            _ => true,
        };
        if says_how_fast {
            let slow = took > self.limits.slow_after;
            self.contrary = if slow == self.slow { 0 } else { self.contrary + 1 };
            if self.contrary >= IN_A_ROW {
                (self.slow, self.contrary) = (slow, 0);
            }
        }
        self.last = Some((probe, now));
    }

    /// What follows.
    pub fn verdict(&mut self, now: Instant) -> Verdict {
        let fresh = self.beats.fresh(now, self.limits.stale_after);
        // The agent there lives: it is our watch that has died, and the next one will say how things are.
        let reconnect = fresh == Some(false)
            && matches!(&self.last, Some((Probe::Answered(heartbeat), _)) if self.beats.is_news(*heartbeat));
        let seen = if reconnect {
            Health::Unknown
        } else {
            self.seen(fresh, now)
        };
        let well = seen == Health::Ready;
        self.well_since = well.then(|| self.well_since.unwrap_or(now));
        self.tell(seen, now);
        Verdict {
            health: self.told.clone(),
            answers: fresh != Some(false) && self.refusals < REFUSALS,
            reconnect,
        }
    }

    /// Neither a heartbeat nor an answer has come for a while: nobody knows whether the target serves. It ends with the next
    /// sign of life, at once.
    pub fn doubts(&self, now: Instant) -> bool {
        let silent = self.beats.fresh(now, DOUBT_AFTER) == Some(false);
        let unanswered =
            matches!(&self.last, Some((Probe::Silent | Probe::Unreachable(_), at)) if now.duration_since(*at) < RECENT);
        silent && unanswered
    }

    /// The health as it is seen at this moment.
    fn seen(&self, fresh: Option<bool>, now: Instant) -> Health {
        let not_ready = |(reason, message)| Health::NotReady { reason, message };
        let last = self.last.as_ref().filter(|(_, at)| now.duration_since(*at) < RECENT);
        match (fresh, last) {
            (_, Some((denied @ Probe::Denied(_), _))) if self.refusals >= REFUSALS => {
                not_ready(denied.explain(self.limits.stale_after))
            }
            (None, _) | (Some(false), None) => Health::Unknown,
            (Some(true), _) if self.slow => not_ready((
                SLOW,
                format!(
                    "the API server takes longer than {} s to answer",
                    self.limits.slow_after.as_secs_f64()
                ),
            )),
            (Some(true), _) => Health::Ready,
            (Some(false), Some((probe, _))) => not_ready(probe.explain(self.limits.stale_after)),
        }
    }

    /// Tell what is seen; but a target that keeps failing must be well for longer and longer before it is trusted.
    fn tell(&mut self, seen: Health, now: Instant) {
        match (&self.told, &seen) {
            (_, Health::Unknown) => return,
            // The same trouble in other words is not worth a write.
            (Health::NotReady { reason: told, .. }, Health::NotReady { reason, .. }) if told == reason => return,
            (Health::NotReady { .. }, Health::Ready) => {
                let calm = self
                    .well_since
                    .map_or(Duration::ZERO, |since| now.duration_since(since));
                if calm < self.calm() {
                    return;
                }
                self.recovered = Some(now);
            }
            (Health::Ready, Health::NotReady { .. }) => {
                let relapsed = self.recovered.is_some_and(|at| now.duration_since(at) < RELAPSE);
                self.relapses = if relapsed { self.relapses + 1 } else { 0 };
            }
            _ => {}
        }
        self.told = seen;
    }

    fn calm(&self) -> Duration {
        match self.relapses {
            0 => Duration::ZERO,
            relapses => CALM.saturating_mul(1 << (relapses - 1).min(10)).min(LONGEST_CALM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::health::Reach;
    use super::*;

    const LIMITS: Limits = Limits {
        stale_after: Duration::from_secs(8),
        slow_after: Duration::from_secs(1),
    };
    const QUICK: Duration = Duration::from_millis(5);

    fn beat(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    /// A target under observation, one step a second.
    struct Watched {
        judge: Judge,
        now: Instant,
        second: i64,
        told: Vec<String>,
    }

    impl Watched {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                judge: Judge::new(LIMITS, now),
                now,
                second: 0,
                told: vec![],
            }
        }

        /// For so many seconds, the watch shows heartbeats or not, and probes end like this.
        fn pass(&mut self, seconds: u32, beats: bool, probe: impl Fn(i64) -> Probe, took: Duration) -> Verdict {
            let mut verdict = self.judge.verdict(self.now);
            for _ in 0..seconds {
                (self.now, self.second) = (self.now + Duration::from_secs(1), self.second + 1);
                if beats {
                    self.judge.heard(beat(self.second), self.now);
                }
                self.judge.probed(probe(self.second), took, self.now);
                verdict = self.judge.verdict(self.now);
                let told = match &verdict.health {
                    Health::NotReady { reason, .. } | Health::CutOff { reason, .. } => (*reason).to_owned(),
                    health => format!("{health:?}"),
                };
                if self.told.last() != Some(&told) {
                    self.told.push(told);
                }
            }
            verdict
        }

        fn well(&mut self, seconds: u32) -> Verdict {
            self.pass(seconds, true, |second| Probe::Answered(beat(second)), QUICK)
        }
    }

    #[test]
    fn silence_has_a_reason_and_a_way_back() {
        for (probe, expected, reach) in [
            (Probe::NoSummary, "AgentNotReporting", Reach::Answers),
            (Probe::Answered(beat(3)), "AgentNotReporting", Reach::Answers),
            (Probe::Failing("500".into()), "APIServerError", Reach::Answers),
            (
                Probe::Unreachable("refused".into()),
                "APIServerUnreachable",
                Reach::Silent,
            ),
            (Probe::Silent, "APIServerTimeout", Reach::Silent),
        ] {
            let mut target = Watched::new();
            assert!(target.well(3).answers);
            let took = if probe == Probe::Silent {
                LIMITS.patience()
            } else {
                QUICK
            };
            assert_eq!(
                target.pass(2, false, |_| probe.clone(), took).health,
                Health::Ready,
                "too early"
            );
            let verdict = target.pass(7, false, |_| probe.clone(), took);
            assert!(!verdict.answers && !verdict.reconnect, "{probe:?}");
            assert_eq!(verdict.health.reach(), reach);
            target.well(4);
            assert_eq!(target.told, ["Unknown", "Ready", expected, "Ready"]);
        }
    }

    #[test]
    fn revoked_credentials_show_although_the_watch_goes_on() {
        let mut target = Watched::new();
        target.well(3);
        let denied = |_| Probe::Denied("Unauthorized".into());
        assert_eq!(
            target.pass(1, true, denied, QUICK).health,
            Health::Ready,
            "perhaps it starts"
        );
        let verdict = target.pass(1, true, denied, QUICK);
        assert!(!verdict.answers);
        assert_eq!(verdict.health.reach(), Reach::Answers);
        target.well(1);
        assert_eq!(target.told, ["Unknown", "Ready", "CredentialsRejected", "Ready"]);
    }

    #[test]
    fn slow_is_what_is_slow_three_times() {
        let mut target = Watched::new();
        target.well(3);
        let slow = Duration::from_millis(1100);
        let answered = |second| Probe::Answered(beat(second));
        for _ in 0..5 {
            target.pass(2, true, answered, slow);
            target.well(1);
        }
        assert_eq!(target.told, ["Unknown", "Ready"]);
        let verdict = target.pass(3, true, answered, slow);
        assert!(verdict.answers, "what is to be removed there can be removed");
        assert_eq!(verdict.health.reach(), Reach::Silent);
        target.well(2);
        assert_eq!(target.told, ["Unknown", "Ready", "TargetSlow"]);
        target.well(1);
        assert_eq!(target.told, ["Unknown", "Ready", "TargetSlow", "Ready"]);
    }

    #[test]
    fn a_dead_watch_of_a_living_target_is_made_anew_and_nobody_notices() {
        let mut target = Watched::new();
        target.well(3);
        let verdict = target.pass(7, false, |second| Probe::Answered(beat(second)), QUICK);
        assert!(!verdict.reconnect);
        // The step that notices it: what is told is for the next connection to say.
        target.now += Duration::from_secs(1);
        assert!(target.judge.verdict(target.now).reconnect);
        target.judge.connected(target.now);
        assert!(!target.judge.verdict(target.now).reconnect);
        // The first heartbeat is another one than the last of before: the agent lives.
        assert!(target.well(1).answers);
    }

    #[test]
    fn what_was_seen_before_this_process_was_stopped_says_nothing() {
        let mut target = Watched::new();
        target.well(3);
        target.now += Duration::from_secs(60);
        assert_eq!(target.judge.verdict(target.now).health, Health::Ready);
        target.well(3);
        assert_eq!(target.told, ["Unknown", "Ready"]);
    }

    #[test]
    fn doubt_comes_before_the_verdict_and_goes_with_the_first_sign_of_life() {
        for (probe, doubted) in [
            (Probe::Silent, true),
            (Probe::Unreachable("reset".into()), true),
            // Its API server answers: what is wrong with its agent is not wrong with what it serves.
            (Probe::Answered(beat(3)), false),
            (Probe::Failing("500".into()), false),
        ] {
            let mut target = Watched::new();
            target.well(3);
            target.pass(3, false, |_| probe.clone(), QUICK);
            assert!(!target.judge.doubts(target.now), "too early");
            let verdict = target.pass(1, false, |_| probe.clone(), QUICK);
            assert_eq!(verdict.health, Health::Ready, "it is not given up for that");
            assert_eq!(target.judge.doubts(target.now), doubted, "{probe:?}");
            // One late heartbeat is enough, also when no probe has come through yet.
            target.pass(1, true, |_| probe.clone(), QUICK);
            assert!(!target.judge.doubts(target.now), "{probe:?}");
            target.pass(4, false, |_| probe.clone(), QUICK);
            target.judge.probed(Probe::Answered(beat(3)), QUICK, target.now);
            assert!(!target.judge.doubts(target.now), "and so is an answer");
        }
    }

    #[test]
    fn who_has_never_been_heard_is_in_doubt_after_the_same_time() {
        let mut target = Watched::new();
        target.pass(3, false, |_| Probe::Silent, QUICK);
        assert!(!target.judge.doubts(target.now));
        target.pass(1, false, |_| Probe::Silent, QUICK);
        assert!(target.judge.doubts(target.now));
        target.now += Duration::from_secs(60);
        assert!(
            !target.judge.doubts(target.now),
            "this process was stopped, and knows nothing"
        );
    }

    #[test]
    fn a_target_that_comes_and_goes_is_told_of_less_and_less() {
        let mut target = Watched::new();
        target.well(3);
        for _ in 0..20 {
            target.pass(9, false, |_| Probe::Silent, QUICK);
            target.well(6);
        }
        // Twenty times it went and came. The last times it was not well for long enough.
        assert!(target.told.len() < 12, "{:?}", target.told);
        target.well(61);
        assert_eq!(target.told.last().map(String::as_str), Some("Ready"));
    }
}
