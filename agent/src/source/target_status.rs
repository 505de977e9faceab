//! The Ready condition of Targets and ClusterTargets.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use multicluster_api::target::AnyTarget;
use multicluster_api::{ClusterTarget, Target, names};
use serde_json::json;

use super::health::Health;
use crate::api_error;

/// Reason of a target that is well.
pub const READY: &str = "TargetReady";

/// Write the condition if it says something new. Returns a sentence about the change when the status changed.
pub async fn report(
    source: &Client,
    target: &AnyTarget,
    node: &str,
    health: &Health,
    cluster_id: Option<&str>,
) -> Result<Option<String>, kube::Error> {
    let (status, reason, message) = match health {
        Health::Unknown => return Ok(None),
        Health::Ready => ("True", READY, format!("pods can run there; its virtual node is {node}")),
        Health::NotReady { reason, message } | Health::CutOff { reason, message } => {
            ("False", *reason, message.clone())
        }
    };
    // The status that came with the spec may be old by now: read it anew.
    let Some(current) = read(source, target).await? else {
        return Ok(None);
    };
    let old = current
        .status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    let same_status = old.is_some_and(|old| old.status == status);
    let same = same_status && old.is_some_and(|old| old.reason == reason && old.message == message);
    let same_cluster = cluster_id.is_none() || current.status.cluster_id.as_deref() == cluster_id;
    if same && same_cluster && current.status.observed_generation == Some(current.generation) {
        return Ok(None);
    }
    let since = old.filter(|_| same_status).map(|old| old.last_transition_time.clone());
    let condition = Condition {
        type_: "Ready".into(),
        status: status.into(),
        reason: reason.into(),
        message: message.clone(),
        last_transition_time: since.unwrap_or_else(|| Time(Timestamp::now())),
        observed_generation: Some(current.generation),
    };
    let mut patch = json!({ "status": {
        "conditions": [condition],
        "virtualNodeName": node,
        "observedGeneration": current.generation,
    }});
    // What is not known now may have been known before.
    if let Some(cluster_id) = cluster_id {
        patch["status"]["clusterID"] = json!(cluster_id);
    }
    api_error::ignore_gone(write(source, target, patch).await)?;
    Ok((!same).then_some(message))
}

async fn read(source: &Client, target: &AnyTarget) -> Result<Option<AnyTarget>, kube::Error> {
    let name = &target.target.name;
    let found = match &target.target.namespace {
        Some(namespace) => Api::<Target>::namespaced(source.clone(), namespace)
            .get_opt(name)
            .await?
            .map(|t| (&t).into()),
        None => Api::<ClusterTarget>::all(source.clone())
            .get_opt(name)
            .await?
            .map(|t| (&t).into()),
    };
    Ok(found.filter(|found: &AnyTarget| found.uid == target.uid))
}

async fn write(source: &Client, target: &AnyTarget, patch: serde_json::Value) -> Result<(), kube::Error> {
    let (name, params, patch) = (&target.target.name, PatchParams::default(), Patch::Merge(patch));
    match &target.target.namespace {
        Some(namespace) => Api::<Target>::namespaced(source.clone(), namespace)
            .patch_status(name, &params, &patch)
            .await
            .map(drop),
        None => Api::<ClusterTarget>::all(source.clone())
            .patch_status(name, &params, &patch)
            .await
            .map(drop),
    }
}

/// The object, for events.
pub fn reference(target: &AnyTarget) -> ObjectReference {
    ObjectReference {
        api_version: Some(format!("{}/{}", names::GROUP, names::VERSION)),
        kind: Some(target.target.kind().into()),
        namespace: target.target.namespace.clone(),
        name: Some(target.target.name.clone()),
        uid: Some(target.uid.clone()),
        ..Default::default()
    }
}
