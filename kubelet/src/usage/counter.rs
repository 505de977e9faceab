//! A counter of CPU time, from what is known of the rate.

use jiff::Timestamp;

/// What a counter begins with, in core-nanoseconds. Whatever runs has used some CPU, and metrics-server drops a pod of which
/// a counter is 0: it would not show an idle one.
pub const LEAST: u64 = 1_000;

/// CPU time used since a beginning. It never falls.
///
/// metrics-server divides the difference of two counts by the difference of their times. Whoever reads at each sample gets
/// the sample's own usage back; whoever reads less often gets the mean, weighted by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    at: Timestamp,
    total: u64,
}

impl Counter {
    /// Nothing has been used before `at`, as far as is known.
    pub fn new(at: Timestamp) -> Self {
        Self { at, total: LEAST }
    }

    /// So many core-nanoseconds have been used before `at`.
    pub fn with(at: Timestamp, total: u64) -> Self {
        Self { at, total }
    }

    /// From the last time until `to`, so many nanocores were used. A time that is past already changes nothing.
    pub fn advance(&mut self, nano_cores: u64, to: Timestamp) {
        let nanoseconds = to.duration_since(self.at).as_nanos();
        let Ok(nanoseconds @ 1..) = u128::try_from(nanoseconds) else {
            return;
        };
        let used = u128::from(nano_cores).saturating_mul(nanoseconds) / 1_000_000_000;
        self.total = self.total.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
        self.at = to;
    }

    /// Until when it has counted.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Core-nanoseconds.
    pub fn total(&self) -> u64 {
        self.total
    }
}
