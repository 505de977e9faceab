//! Which faults happen when: all of it follows from a seed. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::At;
use crate::Network;

/// Target clusters of a run.
pub const TARGETS: [&str; 3] = ["us", "eu", "ap"];
/// Before the first fault: the first workloads come up.
const WARM_UP: Duration = Duration::from_secs(8);
/// Between the end of one fault and the begin of the next: most recoveries are seen to their end.
const GAP_SECONDS: (f64, f64) = (8.0, 17.0);
/// How many of ten faults come with a second one, of something else, while they last.
const COMPANIONS_OF_TEN: u8 = 3;
/// A killed or restarted process is away for so long.
const AWAY_SECONDS: (f64, f64) = (0.5, 5.0);
/// A paused process hangs for so long.
const PAUSE_SECONDS: (f64, f64) = (1.0, 20.0);
/// etcd is paused for less: nothing in a cluster works without it.
const ETCD_SECONDS: (f64, f64) = (1.0, 10.0);
/// A link is disturbed for so long.
const LINK_SECONDS: (f64, f64) = (1.0, 40.0);
/// No fault takes more than this part of a run.
const LONGEST_PART: u32 = 6;
/// No fault in this time before half time, when memory is read.
const HALF_TIME_QUIET: Duration = Duration::from_secs(20);
/// The same in short runs.
const HALF_TIME_PART: u32 = 8;
/// Components that are not killed in the second half: the growth of their memory is seen.
const SPARED: usize = 3;
/// How many schedules are drawn up at most until one has faults of every kind.
const DRAFTS: usize = 100;

/// One of the clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The source.
    Source,
    /// A target, by its place in [`TARGETS`].
    Target(usize),
}

impl Place {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Source).chain((0..TARGETS.len()).map(Self::Target))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Target(index) => f.write_str(TARGETS[*index]),
        }
    }
}

/// What a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The source's webhook.
    Webhook,
    /// The source's extender.
    Extender,
    /// The source's second kube-scheduler, which asks the extender.
    Scheduler,
    /// An agent.
    Agent(Place),
    /// A kube-apiserver.
    ApiServer(Place),
    /// An etcd.
    Etcd(Place),
    /// A kube-controller-manager.
    ControllerManager(Place),
    /// The kube-scheduler of a target.
    TargetScheduler(usize),
    /// The way from the source to a target.
    Link(usize),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook => f.write_str("webhook"),
            Self::Extender => f.write_str("extender"),
            Self::Scheduler => f.write_str("second kube-scheduler"),
            Self::Agent(place) => write!(f, "agent of {place}"),
            Self::ApiServer(place) => write!(f, "kube-apiserver of {place}"),
            Self::Etcd(place) => write!(f, "etcd of {place}"),
            Self::ControllerManager(place) => write!(f, "kube-controller-manager of {place}"),
            Self::TargetScheduler(index) => write!(f, "kube-scheduler of {}", TARGETS[*index]),
            Self::Link(index) => write!(f, "link to {}", TARGETS[*index]),
        }
    }
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// SIGKILL; started again in the end.
    Kill,
    /// SIGTERM; started again in the end.
    Restart,
    /// SIGSTOP; SIGCONT in the end.
    Pause,
    /// The network gets this bad.
    Network(Network),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("killed"),
            Self::Restart => f.write_str("restarted"),
            Self::Pause => f.write_str("paused"),
            Self::Network(Network::Up) => f.write_str("up"),
            Self::Network(Network::Dropping) => f.write_str("dropping"),
            Self::Network(Network::Resetting) => f.write_str("resetting"),
            Self::Network(Network::Slow(late)) => write!(f, "slow by {late:.1?}"),
            Self::Network(Network::Lossy(part)) => write!(f, "losing {:.0} %", part * 100.0),
        }
    }
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// When it begins, at the earliest.
    pub at: At,
    /// How long it lasts, at least.
    pub lasts: Duration,
    /// What it befalls.
    pub subject: Subject,
    /// What it does.
    pub how: How,
}

impl Fault {
    /// When it is undone, at the earliest.
    pub fn end(&self) -> At {
        self.at + self.lasts
    }

    /// What kind of a fault it is, whichever target it befalls and however bad it is.
    fn kind(&self) -> String {
        let whose = |place| if place == Place::Source { "source" } else { "target" };
        match (self.subject, self.how) {
            (Subject::Agent(place), how) => format!("{} agent {how}", whose(place)),
            (Subject::ApiServer(place), how) => format!("{} kube-apiserver {how}", whose(place)),
            (Subject::Etcd(_), how) => format!("etcd {how}"),
            (Subject::ControllerManager(_), how) => format!("kube-controller-manager {how}"),
            (Subject::TargetScheduler(_), how) => format!("target kube-scheduler {how}"),
            (Subject::Link(_), How::Network(Network::Slow(_))) => "link slow".to_owned(),
            (Subject::Link(_), How::Network(Network::Lossy(_))) => "link lossy".to_owned(),
            (Subject::Link(_), how) => format!("link {how}"),
            (subject, how) => format!("{subject} {how}"),
        }
    }
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Kill(Component),
    Pause(Component),
    RestartSource,
    RestartTarget,
    PauseTarget,
    PauseEtcd,
    RestartControllers,
    PauseTargetScheduler,
    Drop,
    Reset,
    Slow,
    Lose,
}

/// A part of the product, or its scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Component {
    Webhook,
    Extender,
    Scheduler,
    SourceAgent,
    TargetAgent,
}

const KINDS: [Kind; 20] = [
    Kind::Kill(Component::Webhook),
    Kind::Kill(Component::Extender),
    Kind::Kill(Component::Scheduler),
    Kind::Kill(Component::SourceAgent),
    Kind::Kill(Component::TargetAgent),
    Kind::Pause(Component::Webhook),
    Kind::Pause(Component::Extender),
    Kind::Pause(Component::Scheduler),
    Kind::Pause(Component::SourceAgent),
    Kind::Pause(Component::TargetAgent),
    Kind::RestartSource,
    Kind::RestartTarget,
    Kind::PauseTarget,
    Kind::PauseEtcd,
    Kind::RestartControllers,
    Kind::PauseTargetScheduler,
    Kind::Drop,
    Kind::Reset,
    Kind::Slow,
    Kind::Lose,
];

/// The faults of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// In the order in which they begin.
    pub faults: Vec<Fault>,
    /// Nothing is broken from here until [`half_time`](Self::half_time).
    pub half_quiet: At,
    /// When memory is read for the first time.
    pub half_time: At,
    /// All faults are undone, and the clusters come to rest.
    pub end: At,
    /// What is not killed in the second half.
    pub spared: BTreeSet<Subject>,
}

impl Schedule {
    /// The faults that follow from a seed, in this time. Of many drafts the first is taken in which every kind occurs; a
    /// short run has no room for that, and takes the last.
    pub fn new(seed: u64, lasts: Duration) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut draft = Self::draft(rng.fork(), lasts);
        for _ in 1..DRAFTS {
            if draft.kinds().len() == KINDS.len() {
                break;
            }
            draft = Self::draft(rng.fork(), lasts);
        }
        draft
    }

    fn draft(mut rng: Rng, lasts: Duration) -> Self {
        let mut spared = vec![Subject::Webhook, Subject::Extender];
        spared.extend(Place::all().map(Subject::Agent));
        rng.shuffle(&mut spared);
        spared.truncate(SPARED);
        let half_time = lasts / 2;
        let mut dealer = Dealer {
            rng,
            deck: Vec::new(),
            longest: lasts / LONGEST_PART,
            spared: spared.into_iter().collect(),
        };
        let half_quiet = half_time.saturating_sub(HALF_TIME_QUIET.min(lasts / HALF_TIME_PART));
        let mut faults = dealer.fill(WARM_UP, half_quiet, false);
        faults.extend(dealer.fill(half_time, lasts, true));
        faults.sort_by_key(|fault| fault.at);
        Self {
            faults,
            half_quiet,
            half_time,
            end: lasts,
            spared: dealer.spared,
        }
    }

    /// The kinds of faults that occur, in words.
    fn kinds(&self) -> BTreeSet<String> {
        self.faults.iter().map(Fault::kind).collect()
    }
}

/// Deals kinds of faults from a shuffled deck: each comes once before any comes twice.
struct Dealer {
    rng: Rng,
    deck: Vec<Kind>,
    longest: Duration,
    spared: BTreeSet<Subject>,
}

impl Dealer {
    fn fill(&mut self, from: At, until: At, second_half: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut at = from + self.seconds((0.0, 3.0));
        while at < until {
            let fault = self.deal(at, until, second_half);
            let mut end = fault.end();
            faults.push(fault);
            if self.rng.u8(..10) < COMPANIONS_OF_TEN {
                let at = at + fault.lasts.mul_f64(self.rng.f64());
                let companion = self.deal(at, until, second_half);
                if companion.subject != fault.subject && at < until {
                    end = end.max(companion.end());
                    faults.push(companion);
                }
            }
            at = end + self.seconds(GAP_SECONDS);
        }
        faults
    }

    fn deal(&mut self, at: At, until: At, second_half: bool) -> Fault {
        if self.deck.is_empty() {
            self.deck = KINDS.to_vec();
            self.rng.shuffle(&mut self.deck);
        }
        let kind = self.deck.pop().unwrap_or(Kind::Drop);
        let (subject, mut how, seconds) = self.choose(kind);
        if second_half && how == How::Kill && self.spared.contains(&subject) {
            how = How::Pause;
        }
        let lasts = self.seconds(seconds).min(self.longest).min(until.saturating_sub(at));
        Fault {
            at,
            lasts,
            subject,
            how,
        }
    }

    fn choose(&mut self, kind: Kind) -> (Subject, How, (f64, f64)) {
        let target = self.rng.usize(..TARGETS.len());
        let anywhere = match self.rng.usize(..=TARGETS.len()) {
            0 => Place::Source,
            index => Place::Target(index - 1),
        };
        let component = |component| match component {
            Component::Webhook => Subject::Webhook,
            Component::Extender => Subject::Extender,
            Component::Scheduler => Subject::Scheduler,
            Component::SourceAgent => Subject::Agent(Place::Source),
            Component::TargetAgent => Subject::Agent(Place::Target(target)),
        };
        let network = |state| (Subject::Link(target), How::Network(state), LINK_SECONDS);
        match kind {
            Kind::Kill(victim) => (component(victim), How::Kill, AWAY_SECONDS),
            Kind::Pause(victim) => (component(victim), How::Pause, PAUSE_SECONDS),
            Kind::RestartSource => (Subject::ApiServer(Place::Source), How::Restart, AWAY_SECONDS),
            Kind::RestartTarget => (Subject::ApiServer(Place::Target(target)), How::Restart, AWAY_SECONDS),
            Kind::PauseTarget => (Subject::ApiServer(Place::Target(target)), How::Pause, PAUSE_SECONDS),
            Kind::PauseEtcd => (Subject::Etcd(anywhere), How::Pause, ETCD_SECONDS),
            Kind::RestartControllers => (Subject::ControllerManager(anywhere), How::Restart, AWAY_SECONDS),
            Kind::PauseTargetScheduler => (Subject::TargetScheduler(target), How::Pause, PAUSE_SECONDS),
            Kind::Drop => network(Network::Dropping),
            Kind::Reset => network(Network::Resetting),
            Kind::Slow => network(Network::Slow(self.seconds((0.2, 2.0)))),
            Kind::Lose => network(Network::Lossy(0.05 + 0.25 * self.rng.f64())),
        }
    }

    fn seconds(&mut self, (least, most): (f64, f64)) -> Duration {
        Duration::from_secs_f64(least + (most - least) * self.rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(600);

    #[test]
    fn the_seed_decides() {
        assert_eq!(Schedule::new(7, TEN), Schedule::new(7, TEN));
        assert_ne!(Schedule::new(7, TEN).faults, Schedule::new(8, TEN).faults);
    }

    #[test]
    fn every_kind_of_fault_occurs_in_ten_minutes() {
        for seed in 0..100 {
            let kinds = Schedule::new(seed, TEN).kinds();
            assert_eq!(kinds.len(), KINDS.len(), "seed {seed}: {kinds:?}");
        }
    }

    #[test]
    fn nothing_is_broken_at_half_time_and_in_the_end() {
        for (seed, lasts) in (0..100).flat_map(|seed| [(seed, TEN), (seed, TEN / 5)]) {
            let schedule = Schedule::new(seed, lasts);
            assert!(!schedule.faults.is_empty());
            for fault in &schedule.faults {
                let halves = [(WARM_UP, schedule.half_quiet), (schedule.half_time, schedule.end)];
                assert!(
                    halves.iter().any(|(from, to)| *from <= fault.at && fault.end() <= *to),
                    "{fault:?}"
                );
            }
        }
    }

    #[test]
    fn some_components_are_not_killed_in_the_second_half() {
        for seed in 0..100 {
            let schedule = Schedule::new(seed, TEN);
            assert_eq!(schedule.spared.len(), SPARED);
            let late = schedule.faults.iter().filter(|fault| fault.at >= schedule.half_time);
            let killed: BTreeSet<_> = late.filter(|f| f.how == How::Kill).map(|f| f.subject).collect();
            assert!(killed.is_disjoint(&schedule.spared), "seed {seed}");
        }
    }

    #[test]
    fn two_things_break_at_a_time_now_and_then_but_never_one_thing_twice() {
        let schedule = Schedule::new(1, TEN);
        let mut together = 0;
        for (index, fault) in schedule.faults.iter().enumerate() {
            for other in schedule.faults[index + 1..]
                .iter()
                .filter(|other| other.at < fault.end())
            {
                assert_ne!(fault.subject, other.subject);
                together += 1;
            }
        }
        assert!(together > 0);
    }
}
