//! Labels and annotations of copies.

use std::collections::BTreeMap;

use multicluster_api::names;
use serde_json::Value;

use super::Context;
use crate::source::following::facts::Labels;

/// Annotations that controllers of the source write about the object there. In the target they would be wrong, and a
/// controller there would write its own.
const OF_THE_SOURCE: [&str; 12] = [
    names::LAST_APPLIED,
    "deployment.kubernetes.io/",
    "endpoints.kubernetes.io/",
    "control-plane.alpha.kubernetes.io/leader",
    "argocd.argoproj.io/tracking-id",
    "kustomize.toolkit.fluxcd.io/checksum",
    "cloud.google.com/neg-status",
    "ingress.kubernetes.io/backends",
    "ingress.kubernetes.io/forwarding-rule",
    "field.cattle.io/publicEndpoints",
    "metallb.io/ip-allocated-from-pool",
    "metallb.universe.tf/ip-allocated-from-pool",
];

/// The labels of a copy.
pub(super) fn labels(metadata: &Value, source_uid: &str, context: &Context<'_>) -> Labels {
    let mut labels = strings(&metadata["labels"], |key| !names::is_ours(key));
    labels.insert(names::PARENT_UID.into(), source_uid.into());
    labels.insert(names::PARENT_CLUSTER_NAME.into(), context.cluster_name.into());
    labels
}

/// The annotations of a copy.
pub(super) fn annotations(metadata: &Value, context: &Context<'_>) -> BTreeMap<String, String> {
    let is_of_the_source = |key: &str| {
        OF_THE_SOURCE.iter().any(|of_source| match of_source.ends_with('/') {
            true => key.starts_with(of_source),
            false => key == *of_source,
        })
    };
    let mut annotations = strings(&metadata["annotations"], |key| {
        !names::is_ours(key) && !is_of_the_source(key)
    });
    if let Some(user) = context.source_user {
        annotations.insert(names::SOURCE_USER.into(), user.into());
    }
    annotations
}

fn strings(object: &Value, is_kept: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let pairs = object.as_object().into_iter().flatten();
    pairs
        .filter(|(key, _)| is_kept(key))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
