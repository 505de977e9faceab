//! Why a target does not say what delegates use.

/// Longest message of a target that is passed on, in characters.
const MOST_CHARS: usize = 300;

/// Why there is no answer, in words for the Target's owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It has no metrics API.
    #[error(
        "it has no metrics API (metrics.k8s.io), so kubectl top and autoscalers here do not see what its pods use: \
         install metrics-server there"
    )]
    NotInstalled,
    /// The credentials are not good for this.
    #[error("its metrics API refuses this cluster: {0}; grant the ClusterRole multicluster-source-metrics there")]
    Forbidden(String),
    /// Anything else.
    #[error("its metrics API does not answer as it should: {0}")]
    Failing(String),
}

impl Problem {
    /// From the API server's answer.
    pub fn of_answer(code: u16, message: &str) -> Self {
        let message = message.chars().take(MOST_CHARS).collect();
        match code {
            404 => Self::NotInstalled,
            401 | 403 => Self::Forbidden(message),
            _ => Self::Failing(format!("{message} ({code})")),
        }
    }

    /// The reason of its event, and what it is counted as.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotInstalled => "MetricsNotInstalled",
            Self::Forbidden(_) => "MetricsForbidden",
            Self::Failing(_) => "MetricsFailing",
        }
    }
}

/// All reasons.
pub const REASONS: [&str; 3] = ["MetricsNotInstalled", "MetricsForbidden", "MetricsFailing"];
/// The reason of the event when it is over.
pub const RECEIVED: &str = "MetricsReceived";
