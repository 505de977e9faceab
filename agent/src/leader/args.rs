//! Flags of the election, named as in Kubernetes' own components.

use std::time::Duration;

use anyhow::ensure;
use clap::{ArgAction, Args};
use jiff::SignedDuration;

use super::election::Timings;

/// Flags of the election.
#[derive(Args, Clone, Debug)]
pub struct LeaderArgs {
    /// Work only while holding a Lease, so that several agents may run in a cluster; false when one is run by hand
    #[arg(long, env = "LEADER_ELECT", action = ArgAction::Set, default_value_t = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub leader_elect: bool,
    /// How long the others wait after the leader's last sign of life; whole seconds
    #[arg(long, env = "LEADER_ELECT_LEASE_DURATION", default_value = "4s", value_parser = duration)]
    pub leader_elect_lease_duration: Duration,
    /// A leader that could not renew its Lease for so long stops its work; less than the Lease's duration
    #[arg(long, env = "LEADER_ELECT_RENEW_DEADLINE", default_value = "3s", value_parser = duration)]
    pub leader_elect_renew_deadline: Duration,
    /// How often the leader renews its Lease, and how long to wait after an error
    #[arg(long, env = "LEADER_ELECT_RETRY_PERIOD", default_value = "1s", value_parser = duration)]
    pub leader_elect_retry_period: Duration,
    /// Name of the Lease
    #[arg(long, env = "LEADER_ELECT_RESOURCE_NAME", default_value = "multicluster-agent")]
    pub leader_elect_resource_name: String,
    /// Namespace of the Lease
    #[arg(long, env = "POD_NAMESPACE", default_value = "multicluster-scheduler")]
    pub leader_elect_resource_namespace: String,
}

impl LeaderArgs {
    /// The times of the election, if they go together. The rules are client-go's.
    pub fn timings(&self) -> anyhow::Result<Timings> {
        let (lease, deadline, retry) = (
            self.leader_elect_lease_duration,
            self.leader_elect_renew_deadline,
            self.leader_elect_retry_period,
        );
        ensure!(
            lease.subsec_nanos() == 0 && i32::try_from(lease.as_secs()).is_ok_and(|seconds| seconds > 0),
            "--leader-elect-lease-duration: write whole seconds, such as 4s"
        );
        ensure!(
            lease > deadline,
            "--leader-elect-lease-duration must be more than --leader-elect-renew-deadline"
        );
        ensure!(
            deadline > retry.mul_f64(1.2),
            "--leader-elect-renew-deadline must be more than 1.2 times --leader-elect-retry-period"
        );
        Ok(Timings {
            lease_duration: lease,
            renew_deadline: deadline,
            retry_period: retry,
        })
    }
}

/// A duration as Go writes it.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse::<SignedDuration>()
        .ok()
        .and_then(|parsed| Duration::try_from(parsed).ok());
    match parsed {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("write a duration above zero, such as 4s or 500ms".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        leader: LeaderArgs,
    }

    fn parse(flags: &[&str]) -> Result<LeaderArgs, clap::Error> {
        Flags::try_parse_from([&["agent"], flags].concat()).map(|flags| flags.leader)
    }

    #[test]
    fn flags_are_written_as_for_kubernetes() {
        let args = parse(&["--leader-elect", "--leader-elect-retry-period=500ms"]).unwrap();
        assert!(args.leader_elect);
        assert_eq!(args.timings().unwrap().retry_period, Duration::from_millis(500));
        assert!(!parse(&["--leader-elect=false"]).unwrap().leader_elect);
    }

    #[test]
    fn times_that_do_not_go_together_are_refused() {
        assert!(parse(&[]).unwrap().timings().is_ok());
        for (flag, value) in [
            ("lease-duration", "3s"),
            ("lease-duration", "4500ms"),
            ("renew-deadline", "1s"),
            ("retry-period", "2600ms"),
        ] {
            let flag = format!("--leader-elect-{flag}={value}");
            assert!(parse(&[&flag]).unwrap().timings().is_err(), "{flag}");
        }
        for wrong in ["0s", "-1s", "4", "soon"] {
            let flag = format!("--leader-elect-retry-period={wrong}");
            assert!(parse(&[&flag]).is_err(), "{flag}");
        }
    }
}
