//! How long the extender took to bind, from its log: exact values, where its histogram has buckets.

use std::time::Duration;

use anyhow::{Context, Result};

use super::percentiles::Durations;
use crate::Process;

/// A place in a log.
pub struct Mark(usize);

impl Mark {
    /// The end of the log as of now.
    pub fn now(extender: &Process) -> Result<Self> {
        Ok(Self(read(extender)?.len()))
    }

    /// The binds since then that succeeded, and how many did not.
    pub fn binds(&self, extender: &Process) -> Result<(Durations, usize)> {
        let log = read(extender)?;
        Ok(binds(log.get(self.0..).unwrap_or_default()))
    }
}

fn read(extender: &Process) -> Result<String> {
    let log = extender.log();
    std::fs::read_to_string(log).with_context(|| log.display().to_string())
}

fn binds(log: &str) -> (Durations, usize) {
    let all = log.lines().filter_map(bind);
    let (bound, failed): (Vec<_>, Vec<_>) = all.partition(|(bound, _)| *bound);
    (bound.into_iter().map(|(_, elapsed)| elapsed).collect(), failed.len())
}

/// A line such as `… bind namespace=… outcome="bound" … elapsed=12.3ms`: whether it succeeded, and how long it took.
fn bind(line: &str) -> Option<(bool, Duration)> {
    let (_, outcome) = line.split_once("outcome=")?;
    let bound = outcome.trim_start_matches('"').starts_with("bound");
    let (_, elapsed) = line.split_once("elapsed=")?;
    Some((bound, duration(elapsed.split_whitespace().next()?)?))
}

/// A duration as `{:?}` writes it.
fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_rust_writes_them() {
        for expected in [1_500_000_000, 12_345_678, 900, 62_000, 3_000_000_000] {
            let expected = Duration::from_nanos(expected);
            assert_eq!(duration(&format!("{expected:?}")), Some(expected));
        }
        assert_eq!(duration("soon"), None);
    }

    #[test]
    fn binds_in_a_log() {
        let log = r#"INFO bind namespace=a pod=b node=c outcome="bound" error="" elapsed=20ms
INFO bind namespace=a pod=b node=c outcome="unschedulable" error="no room" elapsed=2s
DEBUG something else
INFO bind namespace=a pod=b node=c outcome="bound" error="" elapsed=10ms
"#;
        let (bound, failed) = binds(log);
        assert_eq!((bound.len(), failed), (2, 1));
        assert_eq!(bound.millis(100.0), 20.0);
    }
}
