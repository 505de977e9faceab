//! From a proxy pod to the chaperon that carries its delegate.
//!
//! The delegate is made of the proxy pod's visible spec, which the source's quota, Pod Security and policies have
//! judged. From the manifest that the webhook saved come only the scheduling constraints, the scheduler's name and the
//! grace period.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use multicluster_api::chaperon::chaperon_name;
use multicluster_api::labels::delegate_labels;
use multicluster_api::options::{PodOptions, ProxyConstraints, SchedulingConstraints};
use multicluster_api::raw::RawPod;
use multicluster_api::references::{DEFAULT_ACCOUNT, References, is_token_volume};
use multicluster_api::{PodChaperon, PodChaperonSpec, TargetRef, fence, names};
use serde_json::{Map, Value};

use super::pod::{InvalidPod, manifest};
use super::selectors;

/// Fields that the source's admission and scheduler fill in; the target's do so anew.
const OF_THE_SOURCE: [&str; 8] = [
    "nodeName",
    "schedulingGates",
    "priority",
    "preemptionPolicy",
    "ephemeralContainers",
    "schedulerName",
    "terminationGracePeriodSeconds",
    "resourceClaimStatuses",
];

/// The chaperon for a proxy pod of the cluster called `cluster` in a target.
pub fn chaperon(pod: &RawPod, cluster: &str, target: &TargetRef) -> Result<PodChaperon, InvalidPod> {
    let empty = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&empty);
    let options = PodOptions::parse(annotations)?;
    let saved = manifest(annotations)?;
    let constraints = match options.proxy_constraints {
        ProxyConstraints::FromSpec => SchedulingConstraints::default(),
        _ => saved.constraints,
    };
    let labels = labels(pod, cluster, &options);
    let mut spec = pod.spec.clone();
    OF_THE_SOURCE.iter().for_each(|field| drop(spec.remove(*field)));
    constraints.apply_to(&mut spec);
    selectors::rewrite(
        &mut spec,
        pod.metadata.labels.as_ref().unwrap_or(&empty),
        &labels,
        options.no_prefix.as_ref(),
    );
    if let Some(name) = saved.scheduler_name {
        spec.insert("schedulerName".into(), name.into());
    }
    if let Some(seconds) = saved.termination_grace_period_seconds {
        spec.insert("terminationGracePeriodSeconds".into(), seconds.into());
    }
    if spec.contains_key("runtimeClassName") {
        spec.remove("overhead");
    }
    remove_service_account_token(&mut spec);
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let mut chaperon = PodChaperon::new(
        &chaperon_name(pod.metadata.name.as_deref().unwrap_or_default(), uid),
        PodChaperonSpec { pod: spec },
    );
    chaperon.metadata = ObjectMeta {
        name: chaperon.metadata.name,
        namespace: pod.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: Some(delegate_annotations(pod, annotations, target)),
        ..ObjectMeta::default()
    };
    Ok(chaperon)
}

/// Say who makes the chaperon, for the policy in the target that keeps other users off it.
pub fn sign(chaperon: &mut PodChaperon, user: Option<&str>) {
    if let Some(user) = user {
        let annotations = chaperon.metadata.annotations.get_or_insert_default();
        annotations.insert(names::SOURCE_USER.into(), user.into());
    }
}

/// Say of a fenced chaperon which of the target's heartbeats its source has seen last: should its creation be late on its
/// way, it counts for no more than that.
pub fn mark_heard(chaperon: &mut PodChaperon, heartbeat: Option<Timestamp>) {
    let annotations = chaperon.metadata.annotations.get_or_insert_default();
    if let Some(heartbeat) = heartbeat.filter(|_| annotations.contains_key(names::FENCE_AFTER)) {
        annotations.insert(names::HEARD.into(), fence::format_heartbeat(heartbeat));
    }
}

/// Keep the delegate from being made before what the pod uses is in the target; the source's agent brings it there.
pub fn await_files(chaperon: &mut PodChaperon) {
    if !References::of(&chaperon.spec.pod).is_empty() {
        let annotations = chaperon.metadata.annotations.get_or_insert_default();
        annotations.insert(names::AWAITS_FILES.into(), "true".into());
    }
}

fn labels(pod: &RawPod, cluster: &str, options: &PodOptions) -> BTreeMap<String, String> {
    let users = pod
        .metadata
        .labels
        .iter()
        .flatten()
        .filter(|(key, _)| !names::is_ours(key));
    let users = users.map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut labels = delegate_labels(&users, options.no_prefix.as_ref());
    labels.insert(names::PARENT_UID.into(), pod.metadata.uid.clone().unwrap_or_default());
    labels.insert(names::PARENT_CLUSTER_NAME.into(), cluster.into());
    labels
}

fn delegate_annotations(
    pod: &RawPod,
    annotations: &BTreeMap<String, String>,
    target: &TargetRef,
) -> BTreeMap<String, String> {
    let users = annotations
        .iter()
        .filter(|(key, _)| !names::is_ours(key) && *key != names::LAST_APPLIED);
    let mut result: BTreeMap<_, _> = users.map(|(key, value)| (key.clone(), value.clone())).collect();
    let own = |text: &Option<String>| text.clone().unwrap_or_default();
    result.insert(names::PARENT_NAME.into(), own(&pod.metadata.name));
    result.insert(names::PARENT_NAMESPACE.into(), own(&pod.metadata.namespace));
    result.insert(names::IS_DELEGATE.into(), String::new());
    result.insert(names::VIRTUAL_NODE.into(), target.virtual_node().into());
    if let Some(fence) = annotations.get(names::FENCE_AFTER) {
        result.insert(names::FENCE_AFTER.into(), fence.clone());
    }
    if let Some(trace) = annotations.get(names::TRACEPARENT) {
        result.insert(names::TRACEPARENT.into(), trace.clone());
    }
    result
}

/// A token of the source's ServiceAccount means nothing in the target, whose admission mounts its own.
fn remove_service_account_token(spec: &mut Map<String, Value>) {
    let account = spec
        .get("serviceAccountName")
        .and_then(Value::as_str)
        .unwrap_or(DEFAULT_ACCOUNT)
        .to_owned();
    let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) else {
        return;
    };
    let mut removed = Vec::new();
    volumes.retain(|volume| {
        let token = is_token_volume(volume, &account);
        if token {
            removed.push(volume["name"].clone());
        }
        !token
    });
    if volumes.is_empty() {
        spec.remove("volumes");
    }
    for containers in ["containers", "initContainers"] {
        let containers = spec
            .get_mut(containers)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) else {
                continue;
            };
            mounts.retain(|mount| !removed.contains(&mount["name"]));
            if mounts.is_empty() {
                container.remove("volumeMounts");
            }
        }
    }
}
