//! Percentiles of measured durations.

use std::time::Duration;

/// Durations in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Durations(Vec<Duration>);

impl FromIterator<Duration> for Durations {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut durations: Vec<_> = durations.into_iter().collect();
        durations.sort_unstable();
        Self(durations)
    }
}

impl Durations {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest measured duration that `percent` of all do not exceed (nearest rank); zero of none.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied().unwrap_or_default()
    }

    /// [`percentile`](Self::percentile) in milliseconds.
    pub fn millis(&self, percent: f64) -> f64 {
        self.percentile(percent).as_secs_f64() * 1e3
    }
}

/// The index of the median value: of an even number of values, the lower of the two in the middle.
pub fn median_index(values: &[f64]) -> usize {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    order
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(values: impl IntoIterator<Item = u64>) -> Durations {
        values.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn nearest_rank() {
        let hundred = millis((1..=100).rev());
        for (percent, expected) in [(0.0, 1.0), (50.0, 50.0), (99.0, 99.0), (99.1, 100.0), (100.0, 100.0)] {
            assert_eq!(hundred.millis(percent), expected, "p{percent}");
        }
        assert_eq!(millis([7]).millis(99.0), 7.0);
        assert_eq!(millis([]).millis(50.0), 0.0);
    }

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median_index(&[3.0, 1.0, 2.0]), 2);
        assert_eq!(median_index(&[4.0, 1.0, 3.0, 2.0]), 3, "the lower one");
        assert_eq!(median_index(&[5.0]), 0);
    }
}
