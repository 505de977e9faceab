//! Whether so many targets fail at once that it is rather us who are cut off. Pure; time is given by the caller.
//!
//! The model is the node-lifecycle controller of Kubernetes: it stops evictions when most nodes of a zone fail. Its own
//! protection does not reach virtual nodes, since each is mostly alone in its zone: it has its target's region.
//!
//! ```text
//!            most of those that answered fall silent within WINDOW
//!   normal ──────────────────────────────────────────────────────▶ cut off: silent targets are held
//!      ▲                                                              │ most answer again
//!      └────────── SETTLE: the last ones may come back ◀──────────────┘
//! ```
//!
//! Clusters are counted, not Targets: several Targets may lead to one cluster, and fail with it. A cluster that was
//! silent long before counts neither way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::health::Reach;

/// Failures that far apart may have one cause.
const WINDOW: Duration = Duration::from_secs(60);
/// How long the last targets may take to come back after most others have: connections are not made anew all at once.
const SETTLE: Duration = Duration::from_secs(10);
/// One target alone is always its own fault.
const FEWEST: usize = 2;

/// All targets, as far as the way to them goes.
#[derive(Debug)]
pub struct MassFailure {
    /// Part of the clusters, from 0 to 1, that must be exceeded. 1 is never exceeded.
    threshold: f64,
    /// By virtual node.
    targets: HashMap<String, Target>,
    state: State,
}

#[derive(Debug)]
struct Target {
    /// Two targets with one value here are one cluster.
    cluster: String,
    silent_since: Option<Instant>,
    /// It fell silent while, or just before, we were cut off.
    held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Normal,
    CutOff,
    /// Most targets are back, since then.
    Settling(Instant),
}

/// A cluster: silent when all its targets are.
#[derive(Clone, Copy)]
struct Cluster {
    /// When the last of its targets fell silent; none while one answers.
    silent_since: Option<Instant>,
    held: bool,
}

impl MassFailure {
    /// No targets yet.
    pub fn new(threshold: f64) -> Self {
        Self {
            threshold,
            targets: HashMap::new(),
            state: State::Normal,
        }
    }

    /// What is seen of a target. Returns whether it is held: silent, but not given up.
    ///
    /// A target that was never seen to answer does not count, unless `answered_before`: then an earlier process saw it
    /// answer.
    pub fn see(&mut self, node: &str, cluster: &str, reach: Reach, answered_before: bool, now: Instant) -> bool {
        let changed = match (self.targets.get_mut(node), reach) {
            (_, Reach::Unknown) => false,
            (None, Reach::Silent) if !answered_before => false,
            (None, _) => {
                let target = Target {
                    cluster: cluster.to_owned(),
                    silent_since: (reach == Reach::Silent).then_some(now),
                    held: false,
                };
                self.targets.insert(node.to_owned(), target);
                true
            }
            (Some(target), _) => {
                let silent = reach == Reach::Silent;
                let changed = silent != target.silent_since.is_some();
                if changed {
                    (target.silent_since, target.held) = (silent.then_some(now), false);
                }
                if !silent && target.cluster != cluster {
                    cluster.clone_into(&mut target.cluster);
                }
                changed
            }
        };
        if changed {
            self.decide(now);
        }
        self.settle(now);
        self.targets.get(node).is_some_and(|target| target.held)
    }

    /// The target is gone, or cannot be asked: it counts no longer.
    pub fn forget(&mut self, node: &str, now: Instant) {
        if self.targets.remove(node).is_some() {
            self.decide(now);
        }
    }

    /// Do we suppose that we are cut off?
    pub fn is_cut_off(&self) -> bool {
        self.state == State::CutOff
    }

    fn decide(&mut self, now: Instant) {
        let clusters = self.clusters();
        let answering = clusters
            .values()
            .filter(|cluster| cluster.silent_since.is_none())
            .count();
        let most = |silent: usize| silent >= FEWEST && silent as f64 > self.threshold * (silent + answering) as f64;
        let recent = |since: Option<Instant>| since.is_some_and(|since| now.duration_since(since) <= WINDOW);
        let cut_off = match self.state {
            // Those that are held, however long by now, and those that have just joined them.
            State::Normal => most(clusters.values().filter(|c| recent(c.silent_since)).count()),
            _ => most(clusters.values().filter(|c| c.held || recent(c.silent_since)).count()),
        };
        self.state = match (self.state, cut_off) {
            (_, true) => State::CutOff,
            (State::CutOff, false) => State::Settling(now),
            (state, false) => state,
        };
        if cut_off {
            for target in self.targets.values_mut() {
                target.held |= recent(target.silent_since);
            }
        }
    }

    /// Give up those that are not back although most others are.
    fn settle(&mut self, now: Instant) {
        if let State::Settling(since) = self.state
            && now.duration_since(since) >= SETTLE
        {
            self.state = State::Normal;
            self.targets.values_mut().for_each(|target| target.held = false);
        }
    }

    fn clusters(&self) -> HashMap<&str, Cluster> {
        let mut clusters: HashMap<&str, Cluster> = HashMap::new();
        for target in self.targets.values() {
            let (silent_since, held) = (target.silent_since, target.held);
            clusters
                .entry(&target.cluster)
                .and_modify(|cluster| {
                    cluster.silent_since = cluster.silent_since.zip(silent_since).map(|(a, b)| a.max(b));
                    cluster.held &= held;
                })
                .or_insert(Cluster { silent_since, held });
        }
        clusters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reach::{Answers, Silent};

    /// So many targets, each a cluster of its own, that answer.
    struct World {
        mass: MassFailure,
        start: Instant,
    }

    impl World {
        fn new(targets: usize) -> Self {
            Self::with_threshold(targets, 0.55)
        }

        fn with_threshold(targets: usize, threshold: f64) -> Self {
            let mut world = Self {
                mass: MassFailure::new(threshold),
                start: Instant::now(),
            };
            for target in 0..targets {
                world.see(target, Answers, 0);
            }
            world
        }

        fn see(&mut self, target: usize, reach: Reach, second: u64) -> bool {
            let (name, now) = (target.to_string(), self.start + Duration::from_secs(second));
            self.mass.see(&name, &name, reach, false, now)
        }

        fn fail(&mut self, targets: std::ops::Range<usize>, second: u64) -> usize {
            let all: Vec<_> = targets.clone().collect();
            for target in &all {
                self.see(*target, Silent, second);
            }
            all.iter().filter(|target| self.see(**target, Silent, second)).count()
        }
    }

    #[test]
    fn most_at_once_are_held_and_fewer_are_not() {
        for (targets, fail, held) in [
            (1, 1, false),
            (2, 1, false),
            (2, 2, true),
            (3, 1, false),
            (3, 2, true),
            (20, 11, false),
            (20, 12, true),
        ] {
            let mut world = World::new(targets);
            assert_eq!(
                world.fail(0..fail, 1),
                if held { fail } else { 0 },
                "{fail} of {targets}"
            );
            assert_eq!(world.mass.is_cut_off(), held);
        }
        assert_eq!(World::with_threshold(3, 1.0).fail(0..3, 1), 0, "turned off");
    }

    #[test]
    fn failures_far_apart_have_causes_of_their_own() {
        let mut world = World::new(3);
        world.see(0, Silent, 1);
        assert!(!world.see(1, Silent, 70));
        assert!(!world.see(0, Silent, 70) && !world.mass.is_cut_off());
        // The one that failed long before counts neither way: of the two others, both have failed by now.
        assert!(world.see(2, Silent, 80) && world.see(1, Silent, 80));
        assert!(!world.see(0, Silent, 80), "it is not called back");
    }

    #[test]
    fn failures_within_the_window_are_one() {
        let mut world = World::new(2);
        assert!(!world.see(0, Silent, 1));
        assert!(world.see(1, Silent, 50) && world.see(0, Silent, 50));
    }

    #[test]
    fn who_stays_away_after_most_are_back_is_given_up() {
        let mut world = World::new(4);
        assert_eq!(world.fail(0..4, 1), 4);
        assert!(world.see(3, Silent, 600), "however long it takes");
        world.see(0, Answers, 600);
        assert!(
            world.see(3, Silent, 600) && world.mass.is_cut_off(),
            "three of four are still away"
        );
        world.see(1, Answers, 601);
        assert!(!world.mass.is_cut_off());
        assert!(world.see(3, Silent, 605), "it may be about to come back");
        assert!(world.see(2, Silent, 605));
        world.see(2, Answers, 606);
        assert!(!world.see(3, Silent, 611), "most are back, and it is not");
    }

    #[test]
    fn one_of_two_that_is_back_ends_it() {
        let mut world = World::new(2);
        assert_eq!(world.fail(0..2, 1), 2);
        world.see(0, Answers, 30);
        assert!(world.see(1, Silent, 39) && !world.see(1, Silent, 40));
    }

    #[test]
    fn it_may_begin_again_while_it_settles() {
        let mut world = World::new(2);
        assert_eq!(world.fail(0..2, 1), 2);
        world.see(0, Answers, 300);
        assert!(world.see(0, Silent, 305) && world.see(1, Silent, 390));
    }

    #[test]
    fn those_that_fail_later_meanwhile_are_held_too() {
        let mut world = World::new(5);
        assert_eq!(world.fail(0..3, 1), 3);
        assert!(world.see(4, Silent, 300));
    }

    #[test]
    fn targets_of_one_cluster_are_one() {
        let mut mass = MassFailure::new(0.55);
        let now = Instant::now();
        for (node, cluster) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b", "b")] {
            mass.see(node, cluster, Answers, false, now);
        }
        for node in ["a1", "a2", "a3"] {
            assert!(!mass.see(node, "a", Silent, false, now));
        }
        assert!(mass.see("b", "b", Silent, false, now));
    }

    #[test]
    fn what_never_answered_counts_unless_an_earlier_process_saw_it_answer() {
        for answered_before in [false, true] {
            let mut mass = MassFailure::new(0.55);
            let now = Instant::now();
            mass.see("a", "a", Silent, answered_before, now);
            assert_eq!(mass.see("b", "b", Silent, answered_before, now), answered_before);
        }
    }

    #[test]
    fn a_target_that_is_removed_counts_no_longer() {
        let mut world = World::new(3);
        world.see(0, Silent, 1);
        assert!(!world.mass.is_cut_off());
        assert_eq!(world.fail(0..2, 2), 2);
        world.mass.forget("0", world.start + Duration::from_secs(3));
        assert!(!world.mass.is_cut_off());
    }
}
