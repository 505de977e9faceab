//! An elected pod becomes a proxy pod.
//!
//! Everything is computed from the saved manifest and the annotations, never from what an earlier call made, so a second
//! call on the first one's output changes nothing. The API server calls again when another webhook changed the pod in
//! between: a sidecar, a volume or a label of that webhook stay, and so does the manifest from before. A constraint that
//! it added (a toleration, a node selector) goes again: it was meant for real nodes, and the delegate has the saved ones.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use multicluster_api::names;
use multicluster_api::options::{SchedulingConstraints, SourceManifest};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::ProxyConfig;
use crate::manifest;
use crate::object::{Metadata, Object, Text, parse};
use crate::scheduling::ProxyScheduling;
use crate::verdict::{Denial, Verdict};

const MARKED: &str = "true";

/// The fields of a pod's spec that are looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpecView<'a> {
    node_selector: Option<Value>,
    tolerations: Option<Value>,
    affinity: Option<Value>,
    topology_spread_constraints: Option<Value>,
    #[serde(borrow)]
    scheduler_name: Option<Text<'a>>,
    #[serde(borrow)]
    node_name: Option<Text<'a>>,
    /// As submitted, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
}

impl SpecView<'_> {
    /// As submitted.
    pub fn scheduler_name(&self) -> Option<&str> {
        self.scheduler_name.as_ref().map(Text::as_str)
    }

    fn constraints(&self) -> SchedulingConstraints {
        let fields = [
            ("nodeSelector", &self.node_selector),
            ("tolerations", &self.tolerations),
            ("affinity", &self.affinity),
            ("topologySpreadConstraints", &self.topology_spread_constraints),
        ];
        let present = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        SchedulingConstraints::from_spec(&present.collect::<Map<_, _>>())
    }
}

/// What the pod was submitted with.
enum Submitted {
    /// This is the first time that it is seen: keep it.
    Now {
        manifest: String,
        constraints: SchedulingConstraints,
    },
    /// It was kept before.
    Before(SchedulingConstraints),
}

impl Submitted {
    fn constraints(&self) -> &SchedulingConstraints {
        match self {
            Self::Now { constraints, .. } | Self::Before(constraints) => constraints,
        }
    }
}

/// The changes that make a proxy pod of a pod that is about to be created in `namespace`.
pub fn mutate(pod: &Object<'_>, namespace: &str, config: &ProxyConfig) -> Verdict {
    if !pod.metadata.is_elected() {
        return Verdict::Allowed;
    }
    match proxy_pod(pod, namespace, config) {
        Ok(patch) => Verdict::Patched(patch),
        Err(denial) => Verdict::Denied(denial),
    }
}

fn proxy_pod(pod: &Object<'_>, namespace: &str, config: &ProxyConfig) -> Result<Patch, Denial> {
    let spec = pod.spec.ok_or_else(|| Denial::bad_request("the pod has no spec"))?;
    let view: SpecView = parse(spec, "the pod's spec")?;
    if let Some(node) = view.node_name.as_ref().filter(|node| !node.as_str().is_empty()) {
        return Err(Denial::invalid(format!(
            "spec.nodeName is {:?}, but a pod with annotation {} goes to a node that its scheduler finds; remove \
             spec.nodeName, or remove the annotation to run the pod on that node",
            node.as_str(),
            names::ELECT
        )));
    }
    let options = pod.metadata.pod_options()?;
    let submitted = match pod.metadata.annotation(names::SOURCE_POD_MANIFEST) {
        Some(saved) if is_proxy_pod(&pod.metadata) => Submitted::Before(SourceManifest::parse(saved)?.constraints),
        Some(_) => {
            return Err(Denial::invalid(format!(
                "annotation {}: leave this annotation out, it is written when the pod is admitted",
                names::SOURCE_POD_MANIFEST
            )));
        }
        None => {
            let constraints = view.constraints();
            if !constraints.are_typed() {
                return Err(Denial::bad_request(
                    "a field in the spec's nodeSelector, tolerations, affinity or topologySpreadConstraints has the wrong type",
                ));
            }
            let manifest = manifest::write(pod, spec, &view, &constraints, namespace)?;
            Submitted::Now { manifest, constraints }
        }
    };
    let scheduling = ProxyScheduling::new(&options.proxy_constraints, submitted.constraints(), config);
    Ok(patch(&pod.metadata, view, submitted, scheduling, config))
}

/// Does this pod look like what an earlier call made? Only then is a manifest that it brings taken for the saved one.
///
/// Judged by what no other webhook touches: our label and our finalizer (other webhooks do set scheduler names and grace
/// periods). A user who forges both wins nothing: of the manifest only constraints are trusted, which he could as well
/// have submitted.
fn is_proxy_pod(metadata: &Metadata<'_>) -> bool {
    metadata.label(names::HAS_FINALIZER) == Some(MARKED) && metadata.has_finalizer(names::FINALIZER)
}

/// The operations that lead to the proxy pod, in a fixed order; none for what is already right.
fn patch(
    metadata: &Metadata<'_>,
    spec: SpecView<'_>,
    submitted: Submitted,
    scheduling: ProxyScheduling,
    config: &ProxyConfig,
) -> Patch {
    let mut operations = Operations(Vec::with_capacity(9));
    if let Submitted::Now { manifest, .. } = submitted {
        operations.add(["metadata", "annotations", names::SOURCE_POD_MANIFEST], manifest);
    }
    // Of another pod, as a backup brings it: this one was tried nowhere yet.
    if metadata.annotation(names::ATTEMPTED_IN).is_some() {
        operations.remove(["metadata", "annotations", names::ATTEMPTED_IN]);
    }
    match metadata.label(names::HAS_FINALIZER) {
        Some(MARKED) => {}
        Some(_) => operations.replace(["metadata", "labels", names::HAS_FINALIZER], MARKED),
        None if metadata.labels.is_some() => operations.add(["metadata", "labels", names::HAS_FINALIZER], MARKED),
        None => operations.add(["metadata", "labels"], json!({names::HAS_FINALIZER: MARKED})),
    }
    if !metadata.has_finalizer(names::FINALIZER) {
        match metadata.finalizers {
            Some(_) => operations.add(["metadata", "finalizers", "-"], names::FINALIZER),
            None => operations.add(["metadata", "finalizers"], json!([names::FINALIZER])),
        }
    }
    let scheduler = spec.scheduler_name().map(Value::from);
    let grace = spec.termination_grace_period_seconds.map(Value::from);
    for (field, before, after) in [
        ("affinity", spec.affinity, scheduling.affinity),
        ("nodeSelector", spec.node_selector, Some(scheduling.node_selector)),
        ("schedulerName", scheduler, Some(config.scheduler_name.as_str().into())),
        // The delegate takes the time it was promised; the proxy pod waits for it by its finalizer.
        ("terminationGracePeriodSeconds", grace, Some(0.into())),
        ("tolerations", spec.tolerations, Some(scheduling.tolerations)),
        (
            "topologySpreadConstraints",
            spec.topology_spread_constraints,
            scheduling.topology_spread_constraints,
        ),
    ] {
        operations.change(["spec", field], before, after);
    }
    Patch(operations.0)
}

/// Operations on fields that are known by name.
struct Operations(Vec<PatchOperation>);

impl Operations {
    fn add<const N: usize>(&mut self, path: [&str; N], value: impl Into<Value>) {
        let (path, value) = (PointerBuf::from_tokens(path), value.into());
        self.0.push(PatchOperation::Add(AddOperation { path, value }));
    }

    fn replace<const N: usize>(&mut self, path: [&str; N], value: impl Into<Value>) {
        let (path, value) = (PointerBuf::from_tokens(path), value.into());
        self.0.push(PatchOperation::Replace(ReplaceOperation { path, value }));
    }

    fn remove<const N: usize>(&mut self, path: [&str; N]) {
        let path = PointerBuf::from_tokens(path);
        self.0.push(PatchOperation::Remove(RemoveOperation { path }));
    }

    fn change<const N: usize>(&mut self, path: [&str; N], before: Option<Value>, after: Option<Value>) {
        match (before, after) {
            (before, after) if before == after => {}
            (None, Some(after)) => self.add(path, after),
            (Some(_), Some(after)) => self.replace(path, after),
            (_, None) => self.remove(path),
        }
    }
}

#[cfg(test)]
mod tests;
