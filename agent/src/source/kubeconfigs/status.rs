//! What a Kubeconfig says of itself.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use multicluster_api::{Kubeconfig, KubeconfigStatus};
use multicluster_trust::Identity;
use serde_json::json;

use super::decide::renewal;
use super::held::Issued;
use super::problem::Problem;
use crate::api_error;
use crate::source::link::call::{CallError, call};

/// Type of the condition.
const READY: &str = "Ready";
/// Reason while all is well.
const ISSUED: &str = "Issued";

/// How a Kubeconfig is.
pub struct Report<'a> {
    /// Who we are there, if the spec makes sense.
    pub identity: Option<&'a Identity>,
    /// Credentials that are what the spec asks for.
    pub issued: Option<&'a Issued>,
    /// Why there are none, or none newer ones.
    pub problem: Option<&'a Problem>,
    /// The time.
    pub now: Timestamp,
}

/// The status that says so. Pure.
pub fn status(object: &Kubeconfig, report: &Report<'_>) -> KubeconfigStatus {
    let (generation, secret) = (object.metadata.generation, &object.spec.secret_name);
    let good = report.issued.filter(|issued| report.now < issued.expires);
    let (status, reason, message) = match (good, report.problem) {
        (Some(_), None) => ("True", ISSUED, format!("the credentials are in Secret {secret}")),
        (Some(_), Some(problem)) => {
            let message = format!(
                "the credentials are still good, but there are no new ones: {}",
                problem.message
            );
            ("True", problem.reason, message)
        }
        (None, Some(problem)) => ("False", problem.reason, problem.message.clone()),
        (None, None) => ("False", "Issuing", "the credentials have been asked for".into()),
    };
    let mut old = object.status.iter().flat_map(|status| &status.conditions);
    let old = old.find(|old| old.type_ == READY && old.status == status);
    let condition = Condition {
        type_: READY.into(),
        status: status.into(),
        reason: reason.into(),
        message,
        last_transition_time: old.map_or(Time(report.now), |old| old.last_transition_time.clone()),
        observed_generation: generation,
    };
    // As they are kept: in whole seconds.
    let time = |time: Timestamp| Time(Timestamp::from_second(time.as_second()).unwrap_or(time));
    let uid = object.uid().unwrap_or_default();
    KubeconfigStatus {
        conditions: vec![condition],
        identity: report.identity.map(Identity::to_string),
        not_after: report.issued.map(|issued| time(issued.expires)),
        renewal_time: good.map(|issued| time(renewal(&uid, issued))),
        observed_generation: generation,
    }
}

/// Write the status, if it says something new.
pub async fn write(client: &Client, object: &Kubeconfig, status: &KubeconfigStatus) -> Result<(), CallError> {
    if object.status.as_ref() == Some(status) {
        return Ok(());
    }
    let kubeconfigs = Api::<Kubeconfig>::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    // What is not known any more is taken away: a merge does that for null.
    let patch = json!({ "metadata": { "uid": object.uid() }, "status": {
        "conditions": status.conditions,
        "identity": status.identity,
        "notAfter": status.not_after,
        "renewalTime": status.renewal_time,
        "observedGeneration": status.observed_generation,
    }});
    let (name, params) = (object.name_any(), PatchParams::default());
    match call(kubeconfigs.patch_status(&name, &params, &Patch::Merge(patch))).await {
        Err(CallError::Kube(error)) => Ok(api_error::ignore_gone::<()>(Err(error))?),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
#[path = "tests/status.rs"]
mod tests;
