//! What source and target agree on, so that a delegate stops by itself when its source has fallen silent.
//!
//! ```text
//! target's agent:  heartbeat h ──────────────▶ source's agent
//!                  heard = when h was written ◀── h, echoed on a chaperon
//!                  heard + fence: delete the delegate
//!                                                 when h arrived + fence + grace period + margin: run it elsewhere
//! ```
//!
//! The source says which of the target's own heartbeats it has seen last, and the target measures from when it wrote that
//! one. So no clock of one cluster is compared with one of the other, and an echo that is late on its way counts for no
//! more than it says. A heartbeat arrives after it was written: the source's wait begins later than the target's.

use std::time::Duration;

use jiff::Timestamp;

/// Shortest fence: several heartbeats and echoes must fit in, or a hiccup would stop pods.
pub const SHORTEST: Duration = Duration::from_secs(20);
/// Longest fence.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What the source waits in addition: the target's agent may have been restarted on a node whose clock runs behind the
/// first one's by so much.
pub const CLOCK_SKEW: Duration = Duration::from_secs(10);
/// What the source waits in addition for the target's API server, kubelet and runtime to carry out a deletion.
pub const MARGIN: Duration = Duration::from_secs(5);
/// The grace period of a pod that asks for none.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// `status.reason` of a chaperon whose delegate was stopped by its target.
pub const REASON: &str = "Fenced";

/// Parse the annotation's value: a whole number and a unit, from `20s` to `24h`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return Err("not a number and a unit".into()),
    };
    let seconds = number.parse::<u32>().map_err(|_| "not a number and a unit")?;
    let fence = Duration::from_secs(u64::from(seconds) * factor);
    match fence {
        _ if fence < SHORTEST => Err("too short".into()),
        _ if fence > LONGEST => Err("too long".into()),
        _ => Ok(fence),
    }
}

/// The fence of a chaperon or pod whose annotations were judged when it was created: none, where it cannot be read.
pub fn of(annotations: &std::collections::BTreeMap<String, String>) -> Option<Duration> {
    parse(annotations.get(crate::names::FENCE_AFTER)?).ok()
}

/// How often a source echoes heartbeats to pods with this fence: three echoes may be lost.
pub fn echo_period(fence: Duration) -> Duration {
    (fence / 4).max(Duration::from_secs(3))
}

/// How long after the last heartbeat arrived the delegate is known to have stopped.
pub fn stopped_after(fence: Duration, grace: Duration) -> Duration {
    fence + grace + CLOCK_SKEW + MARGIN
}

/// A heartbeat as text, at the precision that it is written with.
pub fn format_heartbeat(heartbeat: Timestamp) -> String {
    format!("{heartbeat:.6}")
}

/// The heartbeat that a text means.
pub fn parse_heartbeat(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (text, seconds) in [
            ("20s", 20),
            ("090s", 90),
            ("5m", 300),
            ("24h", 86_400),
            ("1440m", 86_400),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "60",
            "19s",
            "0h",
            "-60s",
            "+60s",
            "60 s",
            " 60s",
            "60S",
            "1.5m",
            "1m30s",
            "25h",
            "86401s",
            "60ms",
            "99999999999s",
            "٦٠s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_heartbeat_survives_the_way_there_and_back() {
        let written: Timestamp = "2030-01-01T00:00:00.123456Z".parse().unwrap();
        assert_eq!(parse_heartbeat(&format_heartbeat(written)), Some(written));
        let whole: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(parse_heartbeat(&format_heartbeat(whole)), Some(whole));
    }

    proptest! {
        #[test]
        fn no_value_panics(text in "\\PC{0,40}") {
            let _ = (parse(&text), parse_heartbeat(&text));
        }
    }
}
