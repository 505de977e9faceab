//! The pod as it was submitted, kept in an annotation.

use multicluster_api::names;
use multicluster_api::options::{SchedulingConstraints, write_manifest};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mutate::SpecView;
use crate::object::{Metadata, Object, Text, Texts};
use crate::verdict::Denial;

/// Most bytes that the API server takes in the keys and values of one object's annotations.
const MAX_ANNOTATIONS: usize = 256 << 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a, S: Serialize> {
    api_version: &'static str,
    kind: &'static str,
    metadata: ManifestMetadata<'a>,
    spec: S,
}

/// What a user submits. Not what the API server adds: uid, creationTimestamp, managedFields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestMetadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate_name: Option<&'a Text<'a>>,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a Texts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a Texts<'a>>,
}

/// All that is ever read back: see [`multicluster_api::options::SourceManifest`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadBack<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    node_selector: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerations: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    affinity: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topology_spread_constraints: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduler_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    termination_grace_period_seconds: Option<i64>,
}

/// The annotation's value for a pod that is seen for the first time.
///
/// A pod so large that the annotations would outgrow what the API server takes is kept without what is never read back.
pub fn write(
    pod: &Object<'_>,
    spec: &RawValue,
    view: &SpecView<'_>,
    constraints: &SchedulingConstraints,
    namespace: &str,
) -> Result<String, Denial> {
    let room = MAX_ANNOTATIONS.saturating_sub(size_of_annotations(&pod.metadata) + names::SOURCE_POD_MANIFEST.len());
    let whole = written(&Manifest {
        api_version: "v1",
        kind: "Pod",
        metadata: metadata(&pod.metadata, namespace, true),
        spec,
    })?;
    if whole.len() <= room {
        return Ok(whole);
    }
    written(&Manifest {
        api_version: "v1",
        kind: "Pod",
        metadata: metadata(&pod.metadata, namespace, false),
        spec: ReadBack {
            node_selector: constraints.get("nodeSelector"),
            tolerations: constraints.get("tolerations"),
            affinity: constraints.get("affinity"),
            topology_spread_constraints: constraints.get("topologySpreadConstraints"),
            scheduler_name: view.scheduler_name(),
            termination_grace_period_seconds: view.termination_grace_period_seconds,
        },
    })
}

fn metadata<'a>(metadata: &'a Metadata<'a>, namespace: &'a str, whole: bool) -> ManifestMetadata<'a> {
    ManifestMetadata {
        name: metadata.name.as_ref(),
        generate_name: metadata.generate_name.as_ref(),
        namespace: metadata.namespace.as_ref().map_or(namespace, Text::as_str),
        labels: metadata.labels.as_ref().filter(|_| whole),
        annotations: metadata.annotations.as_ref().filter(|_| whole),
    }
}

fn written(manifest: &impl Serialize) -> Result<String, Denial> {
    write_manifest(manifest).map_err(|error| Denial::bad_request(format!("the pod cannot be saved: {error}")))
}

fn size_of_annotations(metadata: &Metadata<'_>) -> usize {
    let annotations = metadata.annotations.iter().flatten();
    annotations
        .map(|(key, value)| key.as_str().len() + value.as_str().len())
        .sum()
}
