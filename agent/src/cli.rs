//! Arguments of the agent.

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use multicluster_api::syntax;
use multicluster_runtime::admin::AdminArgs;
use multicluster_runtime::cluster::ClusterArgs;
use multicluster_runtime::log::LogArgs;
use multicluster_runtime::trace::TraceArgs;

use crate::leader::args::LeaderArgs;
use crate::source::exposure::policy::{self, Routing, Settings};
use crate::source::health::Limits;
use crate::source::kubelet::args::KubeletArgs;
use crate::uninstall::command::UninstallArgs;

/// Keeps virtual nodes, delegate pods, their statuses and the summaries of clusters in step
#[derive(Parser, Debug)]
#[command(version)]
pub struct Args {
    /// What this cluster is: pods are sent from it (source), to it (target), or both
    #[arg(long, env = "ROLES", value_delimiter = ',', default_value = "source,target")]
    pub roles: Vec<Role>,
    /// What this cluster is called in its targets; without it, the UID of its namespace kube-system
    #[arg(long, env = "CLUSTER_NAME")]
    pub cluster_name: Option<String>,
    /// A target that has shown no sign of life for this many seconds is NotReady
    #[arg(long, env = "STALE_AFTER_SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(5..=300))]
    pub stale_after_seconds: u16,
    /// A target whose API server takes longer than this many seconds to answer, three times in a row, is NotReady
    #[arg(long, env = "SLOW_AFTER_SECONDS", default_value_t = 1.0, value_parser = slow_after)]
    pub slow_after_seconds: f64,
    /// When more than this part of all target clusters, and at least two, stop answering within a minute, it is supposed
    /// that this cluster is cut off, and pods stay where they are; 1 turns this off
    #[arg(long, env = "MASS_FAILURE_THRESHOLD", default_value_t = 0.55, value_parser = part)]
    pub mass_failure_threshold: f64,
    /// Name of the network of this cluster's pods. Targets with the same name in their label multicluster.admiralty.io/network,
    /// or with neither, reach these pods by their addresses: exported Services (ServiceExport) then lead there, too
    #[arg(long, env = "NETWORK", default_value = "", value_parser = network)]
    pub network: String,
    /// Tell sources about each node of this cluster (labels, taints, free room); without it, only the sums
    #[arg(long, env = "PUBLISH_NODES", default_value_t = true, action = clap::ArgAction::Set)]
    pub publish_nodes: bool,
    /// Publish the names of Ingresses, HTTPRoutes and Services that follow pods as DNSEndpoints, if that definition is
    /// installed in the source
    #[arg(long, env = "DNS", default_value_t = true, action = clap::ArgAction::Set)]
    pub dns: bool,
    /// How names lead to clusters, where an object does not say it
    #[arg(long, env = "DNS_DEFAULT_POLICY", default_value = "weighted")]
    pub dns_default_policy: Routing,
    /// Seconds that resolvers may keep an answer, where an object does not say it. A cluster that falls silent is in doubt
    /// after 5 seconds, and DNS providers take a second or two: 3 make it 10
    #[arg(long, env = "DNS_TTL", default_value_t = 3, value_parser = policy::parse_ttl)]
    pub dns_ttl: u32,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub leader: LeaderArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub kubelet: KubeletArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub admin: AdminArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub trace: TraceArgs,
    #[command(subcommand)]
    #[allow(missing_docs)]
    pub command: Option<Command>,
}

/// What to do instead of being the agent.
#[derive(Subcommand, Debug)]
pub enum Command {
    #[allow(missing_docs)]
    Uninstall(UninstallArgs),
}

/// What a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Pods are sent from it.
    Source,
    /// Pods are sent to it.
    Target,
}

impl Args {
    /// Does the cluster have this role?
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// How names lead to clusters.
    pub fn dns_settings(&self) -> Settings {
        Settings {
            publish: self.dns,
            routing: self.dns_default_policy,
            ttl: self.dns_ttl,
        }
    }

    /// How long targets may take.
    pub fn limits(&self) -> Limits {
        Limits {
            stale_after: Duration::from_secs(self.stale_after_seconds.into()),
            slow_after: Duration::from_secs_f64(self.slow_after_seconds),
        }
    }
}

fn slow_after(text: &str) -> Result<f64, String> {
    within(text, 0.1, 60.0)
}

fn part(text: &str) -> Result<f64, String> {
    within(text, 0.0, 1.0)
}

fn network(text: &str) -> Result<String, String> {
    match syntax::is_label_value(text) {
        true => Ok(text.to_owned()),
        false => Err("write what a label's value may be: 63 letters, digits, '-', '_' or '.' at most".into()),
    }
}

fn within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("write a number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn numbers_have_limits() {
        assert_eq!(slow_after("2.5"), Ok(2.5));
        assert_eq!(part("1"), Ok(1.0));
        for wrong in ["", "0", "-1", "61", "NaN", "1s"] {
            assert!(slow_after(wrong).is_err(), "{wrong}");
        }
        assert!(part("1.1").is_err() && part("55%").is_err());
    }

    #[test]
    fn names_lead_to_clusters_by_weight_unless_an_administrator_says_otherwise() {
        let settings = |args: &[&str]| Args::parse_from([&["agent"], args].concat()).dns_settings();
        let default = settings(&[]);
        assert!(default.publish && default.routing == Routing::Weighted && default.ttl == 3);
        let other = settings(&["--dns=false", "--dns-default-policy=latency-weighted", "--dns-ttl=60"]);
        assert!(!other.publish && other.routing == Routing::LatencyWeighted && other.ttl == 60);
        assert!(Args::try_parse_from(["agent", "--dns-ttl=0"]).is_err());
    }

    #[test]
    fn roles_are_a_list() {
        let args = Args::parse_from(["agent", "--roles", "target"]);
        assert!(args.is(Role::Target) && !args.is(Role::Source));
    }
}
