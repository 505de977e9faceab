//! Since when sources have fallen silent, and which delegates stop because of it. Time is given by the caller.
//!
//! A source echoes this cluster's own heartbeats on a fenced chaperon, and one echo counts for all of its fenced chaperons
//! in that namespace. A heartbeat counts from when it was written here, however late its echo comes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use multicluster_api::{DelegateRef, PodChaperonStatus, fence};
use parking_lot::Mutex;

/// Heartbeats that are remembered; for older ones the wall clock does.
const REMEMBERED: usize = 128;

/// Heartbeats that this process has written, with the time by its own clock.
#[derive(Debug, Default)]
pub struct Heartbeats(Mutex<VecDeque<(Timestamp, Instant)>>);

impl Heartbeats {
    /// A heartbeat to write now.
    pub fn beat(&self, wall: Timestamp, now: Instant) -> Timestamp {
        // As it is read again: with microseconds.
        let heartbeat = Timestamp::from_microsecond(wall.as_microsecond()).unwrap_or(wall);
        let mut all = self.0.lock();
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        all.push_back((heartbeat, now));
        heartbeat
    }

    /// How long ago a heartbeat was written. One that is not remembered is of an earlier process, whose clock is taken
    /// for ours; should it run ahead, the heartbeat is taken for new.
    fn age(&self, heartbeat: Timestamp, wall: Timestamp, now: Instant) -> Duration {
        let all = self.0.lock();
        let known = all.iter().rev().find(|(known, _)| *known == heartbeat);
        match known {
            Some((_, written)) => now.duration_since(*written),
            None => Duration::try_from(wall.duration_since(heartbeat)).unwrap_or_default(),
        }
    }
}

/// A source's chaperons in one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Circle {
    /// The namespace.
    pub namespace: String,
    /// What the source cluster is called.
    pub cluster: String,
}

/// When a source was heard last: so long before a moment.
#[derive(Clone, Copy, Debug)]
struct Heard {
    age: Duration,
    at: Instant,
}

impl Heard {
    fn silent_for(&self, now: Instant) -> Duration {
        self.age + now.duration_since(self.at)
    }
}

/// When sources were heard last.
#[derive(Debug, Default)]
pub struct Silences {
    heartbeats: Arc<Heartbeats>,
    heard: HashMap<Circle, Heard>,
}

/// How a chaperon's fence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// It has none.
    None,
    /// Its source was heard, and may stay silent for so long.
    Left(Duration),
    /// Its source has been silent for too long.
    Over,
}

impl Silences {
    /// Nobody heard yet.
    pub fn new(heartbeats: Arc<Heartbeats>) -> Self {
        Self {
            heartbeats,
            heard: HashMap::new(),
        }
    }

    /// A source has shown that it saw this heartbeat. What was heard later before stays.
    pub fn hear(&mut self, circle: Circle, heartbeat: Timestamp, wall: Timestamp, now: Instant) {
        let age = self.heartbeats.age(heartbeat, wall, now);
        let known = self.heard.get(&circle).map(|heard| heard.silent_for(now));
        if known.is_none_or(|known| age < known) {
            self.heard.insert(circle, Heard { age, at: now });
        }
    }

    /// The source has no fenced chaperon there any more.
    pub fn forget(&mut self, circle: &Circle) {
        self.heard.remove(circle);
    }

    /// How a chaperon of this circle stands.
    pub fn fence(&self, circle: &Circle, after: Option<Duration>, now: Instant) -> Fence {
        let Some(after) = after else { return Fence::None };
        let silent = self.heard.get(circle).map(|heard| heard.silent_for(now));
        // A chaperon whose source never said a word, not even that it made it, is not known to be wanted.
        let left = silent.and_then(|silent| after.checked_sub(silent));
        left.filter(|left| !left.is_zero()).map_or(Fence::Over, Fence::Left)
    }
}

/// Was this chaperon's delegate stopped because of its fence?
pub fn is_fenced(status: &PodChaperonStatus) -> bool {
    status.pod.reason.as_deref() == Some(fence::REASON) && status.delegate.is_some()
}

/// The status that says so. Written before the delegate is deleted, so that also a later process knows.
pub fn fenced(mut status: PodChaperonStatus, after: Option<Duration>, now: Timestamp) -> PodChaperonStatus {
    let delegate = status.delegate.get_or_insert_with(DelegateRef::default);
    delegate
        .deletion_timestamp
        .get_or_insert(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    status.pod.reason = Some(fence::REASON.into());
    status.pod.message = Some(match after {
        Some(after) => format!("nothing was heard of the source cluster for {} s", after.as_secs()),
        None => "nothing was heard of the source cluster".into(),
    });
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCE: Option<Duration> = Some(Duration::from_secs(20));

    fn circle() -> Circle {
        Circle {
            namespace: "default".into(),
            cluster: "source".into(),
        }
    }

    /// A clock pair: seconds since the test began.
    struct Clocks(Timestamp, Instant);

    impl Clocks {
        fn new() -> Self {
            Self("2030-01-01T00:00:00Z".parse().unwrap(), Instant::now())
        }
        fn wall(&self, seconds: i64) -> Timestamp {
            self.0 + jiff::SignedDuration::from_secs(seconds)
        }
        fn at(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }
    }

    fn left(seconds: u64) -> Fence {
        Fence::Left(Duration::from_secs(seconds))
    }

    #[test]
    fn an_echo_counts_from_when_its_heartbeat_was_written() {
        let clocks = Clocks::new();
        let heartbeats = Arc::new(Heartbeats::default());
        let beat = heartbeats.beat(clocks.wall(0), clocks.at(0));
        let mut silences = Silences::new(heartbeats.clone());
        // Late by 15 s, while somebody has set the wall clock: it counts for no more than it says, and no less.
        silences.hear(circle(), beat, clocks.wall(-5000), clocks.at(15));
        assert_eq!(silences.fence(&circle(), FENCE, clocks.at(15)), left(5));
        assert_eq!(silences.fence(&circle(), FENCE, clocks.at(20)), Fence::Over);
        let next = heartbeats.beat(clocks.wall(18), clocks.at(18));
        silences.hear(circle(), next, clocks.wall(19), clocks.at(19));
        assert_eq!(silences.fence(&circle(), FENCE, clocks.at(19)), left(19));
        // The older one once more, as a list brings it.
        silences.hear(circle(), beat, clocks.wall(19), clocks.at(19));
        assert_eq!(silences.fence(&circle(), FENCE, clocks.at(19)), left(19));
    }

    #[test]
    fn after_a_restart_the_wall_clock_tells_and_may_be_off_either_way() {
        let clocks = Clocks::new();
        for (clock_runs_ahead, expected) in [
            (0, left(10)),
            (5, left(5)),
            (10, Fence::Over),
            // Behind: later than it should, by what it is behind. The source waits for that.
            (-5, left(15)),
            // And never longer than from when it was first seen.
            (-500, left(20)),
        ] {
            let mut silences = Silences::new(Arc::default());
            silences.hear(
                circle(),
                clocks.wall(0),
                clocks.wall(10 + clock_runs_ahead),
                clocks.at(10),
            );
            assert_eq!(
                silences.fence(&circle(), FENCE, clocks.at(10)),
                expected,
                "{clock_runs_ahead}"
            );
        }
    }

    #[test]
    fn others_are_not_meant() {
        let clocks = Clocks::new();
        let mut silences = Silences::new(Arc::default());
        silences.hear(circle(), clocks.wall(0), clocks.wall(0), clocks.at(0));
        for other in [
            Circle {
                namespace: "other".into(),
                ..circle()
            },
            Circle {
                cluster: "other".into(),
                ..circle()
            },
        ] {
            assert_eq!(silences.fence(&other, FENCE, clocks.at(0)), Fence::Over);
            assert_eq!(silences.fence(&other, None, clocks.at(0)), Fence::None);
        }
        silences.forget(&circle());
        assert_eq!(silences.fence(&circle(), FENCE, clocks.at(0)), Fence::Over);
    }

    #[test]
    fn a_heartbeat_is_remembered_as_it_is_read_again() {
        let clocks = Clocks::new();
        let heartbeats = Heartbeats::default();
        let wall: Timestamp = "2030-01-01T00:00:00.123456789Z".parse().unwrap();
        let beat = heartbeats.beat(wall, clocks.at(0));
        let read = fence::parse_heartbeat(&fence::format_heartbeat(beat)).unwrap();
        assert_eq!(heartbeats.age(read, wall, clocks.at(7)), Duration::from_secs(7));
        for second in 0..1000 {
            heartbeats.beat(clocks.wall(second), clocks.at(0));
        }
        assert_eq!(heartbeats.0.lock().len(), REMEMBERED);
    }
}
