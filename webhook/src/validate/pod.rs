//! Pods in the namespaces that are served.

use multicluster_api::names;
use multicluster_api::options::SourceManifest;

use crate::object::{Metadata, Object};
use crate::verdict::{Denial, Verdict};

/// A pod that is created, or changed from `old`.
pub fn validate_pod(old: Option<&Object<'_>>, new: &Object<'_>) -> Verdict {
    match old {
        _ if new.is_being_deleted() => Verdict::Allowed,
        None => created(&new.metadata).into(),
        Some(old) => changed(&old.metadata, &new.metadata).into(),
    }
}

/// The same judgement as the mutating webhook's, after all webhooks have changed the pod.
fn created(pod: &Metadata<'_>) -> Result<(), Denial> {
    if !pod.is_elected() {
        return match pod.label(names::HAS_FINALIZER) {
            None => Ok(()),
            Some(_) => Err(Denial::invalid(format!(
                "label {}: leave it out, it is written when a pod with annotation {} is admitted",
                names::HAS_FINALIZER,
                names::ELECT
            ))),
        };
    }
    pod.pod_options()?;
    if let Some(saved) = pod.annotation(names::SOURCE_POD_MANIFEST) {
        SourceManifest::parse(saved)?;
    }
    Ok(())
}

/// What makes a pod a proxy pod stays as it was, on any pod. If the saved manifest could be changed on a pod that is no
/// proxy pod (any more), the marks could be put back on that pod afterwards; and a pod that got its marks later would go to
/// a target without the webhook's finalizer, selector and grace period.
fn changed(old: &Metadata<'_>, new: &Metadata<'_>) -> Result<(), Denial> {
    if old.annotation(names::SOURCE_POD_MANIFEST) != new.annotation(names::SOURCE_POD_MANIFEST) {
        return Err(Denial::invalid(format!(
            "annotation {}: it is written when the pod is admitted and cannot be added, changed or removed; to run the \
             pod elsewhere, delete it and create another one",
            names::SOURCE_POD_MANIFEST
        )));
    }
    if old.is_elected() != new.is_elected() {
        return Err(marked(format!("annotation {}", names::ELECT)));
    }
    if old.label(names::HAS_FINALIZER) != new.label(names::HAS_FINALIZER) {
        return Err(marked(format!("label {}", names::HAS_FINALIZER)));
    }
    // Its target was told when the delegate was made, and the source counts on it.
    if is_ours(old) && old.annotation(names::FENCE_AFTER) != new.annotation(names::FENCE_AFTER) {
        return Err(Denial::invalid(format!(
            "annotation {}: it cannot be added, changed or removed any more; write it into the pod's template, or delete \
             the pod and create another one",
            names::FENCE_AFTER
        )));
    }
    if is_ours(new) && options(old).ne(options(new)) {
        new.pod_options()?;
    }
    Ok(())
}

fn marked(mark: String) -> Denial {
    Denial::invalid(format!(
        "{mark}: a pod is elected when it is created, or never; write annotation {} into the pod's template, and delete \
         this pod to have it made anew",
        names::ELECT
    ))
}

fn is_ours(pod: &Metadata<'_>) -> bool {
    pod.is_elected() || pod.label(names::HAS_FINALIZER).is_some()
}

/// The annotations that a user steers with.
fn options<'a>(pod: &'a Metadata<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let annotations = pod.annotations.iter().flatten();
    annotations
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, _)| names::is_ours(key) && *key != names::SOURCE_POD_MANIFEST)
}
