//! Flags.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use multicluster_certs::ServingArgs;
use multicluster_runtime::admin::AdminArgs;
use multicluster_runtime::cluster::ClusterArgs;
use multicluster_runtime::log::LogArgs;
use multicluster_runtime::trace::TraceArgs;

use crate::bind::Limits;
use crate::core::score::ScorePolicy;
use crate::index::Policy;

/// kube-scheduler extender: which virtual nodes can run a pod, and the binding of proxy pods
#[derive(Clone, Debug, Parser)]
#[command(name = "multicluster-extender", version)]
pub struct Args {
    /// Address to serve kube-scheduler on, HTTPS
    #[arg(long, env = "LISTEN_ADDR", default_value = "0.0.0.0:9443")]
    pub listen_addr: SocketAddr,
    /// What the source cluster is called in its targets; its kube-system namespace's UID when not given
    #[arg(long, env = "CLUSTER_NAME")]
    pub cluster_name: Option<String>,
    /// A target whose agent was silent for so many seconds gets no pods
    #[arg(long, env = "STALE_AFTER", default_value = "8", value_name = "SECONDS", value_parser = seconds)]
    pub stale_after: Duration,
    /// For so many seconds a pod does not go where the target's scheduler refused it, as long as there are other targets
    #[arg(long, env = "FAILURE_TTL", default_value = "60", value_name = "SECONDS", value_parser = seconds)]
    pub failure_ttl: Duration,
    /// Answer a bind after so many seconds at the latest; less than the httpTimeout in kube-scheduler's configuration
    #[arg(long, env = "BIND_TIMEOUT", default_value = "25", value_name = "SECONDS", value_parser = seconds)]
    pub bind_timeout: Duration,
    /// A pod that a target's scheduler has not decided on within so many seconds goes elsewhere
    #[arg(long, env = "SCHEDULE_TIMEOUT", default_value = "300", value_name = "SECONDS", value_parser = seconds)]
    pub schedule_timeout: Duration,
    /// Seconds to go on serving after the signal to stop, until kube-scheduler's connections go elsewhere
    #[arg(long, env = "SHUTDOWN_DELAY_SECONDS", default_value_t = 5)]
    pub shutdown_delay_seconds: u64,
    /// Where pods rather go: to the target with the most room, or to the one with the least
    #[arg(long, env = "SCORE_POLICY", value_enum, default_value_t)]
    pub score_policy: ScorePolicy,
    /// Serve so many made-up targets, without a cluster
    #[cfg(feature = "synthetic")]
    #[arg(long, hide = true)]
    pub synthetic_targets: Option<usize>,
    /// Nodes of each made-up target
    #[cfg(feature = "synthetic")]
    #[arg(long, hide = true, default_value = "100")]
    pub synthetic_nodes: usize,
    /// Certificates.
    #[command(flatten)]
    pub tls: ServingArgs,
    /// The cluster to serve.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The admin port.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// Traces.
    #[command(flatten)]
    pub trace: TraceArgs,
}

impl Args {
    /// How targets are judged.
    pub fn policy(&self) -> Policy {
        Policy {
            stale_after: self.stale_after,
            failure_ttl: self.failure_ttl,
            score: self.score_policy,
        }
    }

    /// How long binding may take.
    pub fn limits(&self) -> Limits {
        Limits {
            bind: self.bind_timeout,
            schedule: self.schedule_timeout,
        }
    }
}

/// Seconds, with a fraction if need be; an `s` behind them is allowed.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .trim_end_matches('s')
        .parse()
        .map_err(|_| "write a number of seconds, such as 8".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(duration) if !duration.is_zero() && number <= 86_400.0 => Ok(duration),
        _ => Err("write a number of seconds above 0 and up to 86400".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_are_seconds() {
        assert_eq!(seconds("8"), Ok(Duration::from_secs(8)));
        assert_eq!(seconds("0.5s"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0", "-1", "1m", "NaN", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
