//! Flags of the webhook.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use clap::Parser;
use multicluster_api::names;
use multicluster_certs::ServingArgs;
use multicluster_runtime::admin::AdminArgs;
use multicluster_runtime::log::LogArgs;
use multicluster_runtime::trace::TraceArgs;

use crate::config::{DEFAULT_TOLERATION_SECONDS, ProxyConfig};

/// Admission webhook: makes proxy pods of elected pods, and refuses what cannot work
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Address that the API server calls, over TLS
    #[arg(long, env = "LISTEN_ADDR", default_value = "0.0.0.0:9443")]
    pub listen_addr: SocketAddr,
    /// Certificates.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// schedulerName of proxy pods: the kube-scheduler profile that calls the extender
    #[arg(long, env = "SCHEDULER_NAME", default_value = names::PROXY_SCHEDULER)]
    pub scheduler_name: String,
    /// Seconds that proxy pods stay on a virtual node that is not ready or unreachable, unless their user wrote a
    /// toleration for that (the API server's default of 300 counts as not written)
    #[arg(long, env = "DEFAULT_TOLERATION_SECONDS", default_value_t = DEFAULT_TOLERATION_SECONDS,
          value_parser = clap::value_parser!(i64).range(0..))]
    pub default_toleration_seconds: i64,
    /// Seconds to go on serving after the signal to stop, until the API server's connections go elsewhere
    #[arg(long, env = "SHUTDOWN_DELAY_SECONDS", default_value_t = 5)]
    pub shutdown_delay_seconds: u64,
    /// Threads that serve; a review takes well under a tenth of a millisecond, so few are needed
    #[arg(long, env = "WORKER_THREADS", default_value = "2")]
    pub worker_threads: NonZeroUsize,
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
    /// What proxy pods become.
    pub fn proxy_config(&self) -> ProxyConfig {
        ProxyConfig {
            scheduler_name: self.scheduler_name.clone(),
            default_toleration_seconds: self.default_toleration_seconds,
        }
    }
}
