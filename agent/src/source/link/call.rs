//! Calls to a target, which may not answer.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, Client};
use multicluster_api::{ClusterSummary, names};

use crate::api_error;
use crate::source::health::Probe;

/// How long one call to a target may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a target that has fallen silent may take to say something.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server's answer, or why there is none.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// No answer in time.
    #[error("no answer within {} s", CALL_TIMEOUT.as_secs())]
    Timeout,
}

/// Wait for an answer, but not for long.
pub async fn call<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, request).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(CallError::Timeout),
    }
}

/// Ask the target itself why no heartbeat comes.
pub async fn probe(client: &Client) -> Probe {
    let api = Api::<ClusterSummary>::all(client.clone());
    match tokio::time::timeout(PROBE_TIMEOUT, api.get_opt(names::CLUSTER_SUMMARY)).await {
        Ok(Ok(Some(summary))) => Probe::Answered(heartbeat(&summary)),
        Ok(Ok(None)) => Probe::NoSummary,
        Ok(Err(error)) if api_error::is_denied(&error) => Probe::Denied(error.to_string()),
        Ok(Err(error)) if api_error::is_not_found(&error) => Probe::NoSummary,
        Ok(Err(error)) => Probe::Unreachable(error.to_string()),
        Err(_) => Probe::Unreachable(format!("no answer within {} ms", PROBE_TIMEOUT.as_millis())),
    }
}

/// The heartbeat that a summary shows.
pub fn heartbeat(summary: &ClusterSummary) -> Option<Timestamp> {
    summary.spec.heartbeat_time.as_ref().map(|time| time.0)
}
