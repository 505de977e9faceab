//! Log level and format.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Flags for logs.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What to log: a level, or directives such as `info,multicluster_agent=debug`. The client's own word on failed
    /// requests is off: callers tell what failed
    #[arg(long, env = "LOG_LEVEL", default_value = "info,kube_client::client::builder=off")]
    pub log_level: String,
    /// How log lines look; for people on a terminal, JSON elsewhere, unless this says otherwise
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Plain,
}

impl LogArgs {
    /// Send log lines to standard error from now on.
    pub fn init(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log_level)
            .map_err(|error| anyhow::anyhow!("--log-level {:?}: {error}; write for example info", self.log_level))?;
        let terminal = std::io::stderr().is_terminal();
        let format = self
            .log_format
            .unwrap_or(if terminal { LogFormat::Plain } else { LogFormat::Json });
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(terminal);
        match format {
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
            LogFormat::Plain => builder.try_init(),
        }
        .map_err(|error| anyhow::anyhow!("logs: {error}"))
    }
}
