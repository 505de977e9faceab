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

/// Ask the target how it is, and wait for so long at most.
pub async fn probe(client: &Client, patience: Duration) -> Probe {
    let api = Api::<ClusterSummary>::all(client.clone());
    match tokio::time::timeout(patience, api.get_opt(names::CLUSTER_SUMMARY)).await {
        Ok(Ok(Some(summary))) => Probe::Answered(heartbeat(&summary)),
        Ok(Ok(None)) => Probe::NoSummary,
        Ok(Err(error)) if api_error::is_denied(&error) => Probe::Denied(error.to_string()),
        Ok(Err(error)) if api_error::is_not_found(&error) => Probe::NoSummary,
        Ok(Err(kube::Error::Api(status))) => Probe::Failing(format!("{} ({})", status.reason, status.code)),
        Ok(Err(error)) => Probe::Unreachable(root_cause(&error)),
        Err(_) => Probe::Silent,
    }
}

/// Errors of the network say least at the top.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The heartbeat that a summary shows.
pub fn heartbeat(summary: &ClusterSummary) -> Option<Timestamp> {
    summary.spec.heartbeat_time.as_ref().map(|time| time.0)
}
