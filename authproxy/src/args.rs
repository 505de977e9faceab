//! Flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use multicluster_certs::ServingArgs;
use multicluster_runtime::admin::AdminArgs;
use multicluster_runtime::cluster::ClusterArgs;
use multicluster_runtime::log::LogArgs;

/// Authenticating proxy: lets identities of other clusters call this cluster's API server
#[derive(Clone, Debug, Parser)]
#[command(name = "multicluster-authproxy", version)]
pub struct Args {
    /// Address to serve on, HTTPS
    #[arg(long, env = "LISTEN_ADDR", default_value = "0.0.0.0:9443")]
    pub listen_addr: SocketAddr,
    /// File with the serving certificate and its chain, PEM; read again when it changes
    #[arg(long, env = "TLS_CERT_FILE")]
    pub tls_cert_file: PathBuf,
    /// File with the private key of the serving certificate, PEM; read again when it changes
    #[arg(long, env = "TLS_PRIVATE_KEY_FILE")]
    pub tls_private_key_file: PathBuf,
    /// Most connections at a time; for one more, the one goes that has least to lose
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: usize,
    /// Most requests at a time, watches and upgraded connections among them; one more is answered with 429
    #[arg(long, env = "MAX_IN_FLIGHT", default_value_t = 4096)]
    pub max_in_flight: usize,
    /// Whom to trust is not known any more after so many seconds without word from the API server: all streams are cut, and
    /// requests are answered with 503
    #[arg(long, env = "STALE_AFTER", default_value = "4.5", value_name = "SECONDS", value_parser = seconds)]
    pub stale_after: Duration,
    /// Seconds to go on serving after the signal to stop, until new connections go elsewhere
    #[arg(long, env = "SHUTDOWN_DELAY_SECONDS", default_value_t = 5)]
    pub shutdown_delay_seconds: u64,
    /// Seconds that requests in flight have to finish after that; then they are cut, watches as a rule
    #[arg(long, env = "GRACE_SECONDS", default_value_t = 10)]
    pub grace_seconds: u64,
    /// The cluster to serve.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The admin port.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

impl Args {
    /// The serving certificate. What clients show is judged by what the cluster trusts, not by a file.
    pub fn serving(&self) -> ServingArgs {
        ServingArgs {
            tls_cert_file: self.tls_cert_file.clone(),
            tls_private_key_file: self.tls_private_key_file.clone(),
            ..ServingArgs::default()
        }
    }
}

/// Seconds, with a fraction if need be; an `s` behind them is allowed.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .trim_end_matches('s')
        .parse()
        .map_err(|_| "write a number of seconds, such as 4.5".to_owned())?;
    match (3.0..=60.0).contains(&number) {
        true => Ok(Duration::from_secs_f64(number)),
        // An API server is asked to say something every two seconds.
        false => Err("write a number of seconds from 3 to 60".into()),
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
        assert_eq!(seconds("4.5s"), Ok(Duration::from_millis(4500)));
        for wrong in ["", "0", "-1", "1m", "NaN", "2", "61"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
