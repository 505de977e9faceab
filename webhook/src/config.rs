//! What an administrator decides about proxy pods.

use multicluster_api::names;

/// What an administrator decides about proxy pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `schedulerName` of proxy pods.
    pub scheduler_name: String,
    /// How long proxy pods stay on a virtual node that is not ready or unreachable, in seconds, when their user did not
    /// say.
    pub default_toleration_seconds: i64,
}

/// Default of [`ProxyConfig::default_toleration_seconds`]: an outage shorter than this moves nothing.
pub const DEFAULT_TOLERATION_SECONDS: i64 = 30;

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            scheduler_name: names::PROXY_SCHEDULER.into(),
            default_toleration_seconds: DEFAULT_TOLERATION_SECONDS,
        }
    }
}
