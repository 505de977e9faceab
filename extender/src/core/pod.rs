//! A pod that is being scheduled, as far as placing it asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use multicluster_api::options::{
    InvalidAnnotation, PodOptions, ProxyConstraints, SchedulingConstraints, SourceManifest,
};
use multicluster_api::quantity::InvalidQuantity;
use multicluster_api::resources::{Resources, pod_requests};
use multicluster_api::{PodChaperon, names};

use super::constraints::Constraints;

/// A pod that is being scheduled.
#[derive(Clone, Debug)]
pub struct SourcePod {
    /// The pod's UID.
    pub uid: String,
    /// The pod's namespace.
    pub namespace: String,
    /// What it wants of a target; `None` for an ordinary pod, which never goes to one.
    pub proxy: Option<Proxy>,
}

/// A proxy pod's side of a [`SourcePod`].
#[derive(Clone, Debug)]
pub struct Proxy {
    /// What its delegate wants of a node.
    pub wanted: Wanted,
    /// It must not run in two places.
    pub unique: bool,
    /// The virtual node where it was last tried, if it is unique: a delegate may run there that nobody remembers.
    pub attempted_in: Option<String>,
}

/// What a delegate wants of a node in its target.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Its requests, `pods: 1` included.
    pub requests: Resources,
    /// Where it may run.
    pub constraints: Constraints,
    /// Leave it to the target's scheduler: its nodes may not exist yet.
    pub no_reservation: bool,
}

/// A proxy pod that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPod {
    /// It is no proxy pod, or the webhook has not seen it.
    #[error(
        "annotation {} is missing; pods get it from the webhook when they are created",
        names::SOURCE_POD_MANIFEST
    )]
    NoManifest,
    /// An annotation cannot be read.
    #[error(transparent)]
    Annotation(#[from] InvalidAnnotation),
    /// A request cannot be read.
    #[error("resource requests: {0}")]
    Quantity(#[from] InvalidQuantity),
    /// The spec has fields of wrong types.
    #[error("pod spec: {0}")]
    Spec(#[from] serde_json::Error),
}

/// A proxy pod was admitted by the webhook, to run in a target.
pub fn is_proxy(metadata: &ObjectMeta) -> bool {
    let has = |map: &Option<BTreeMap<String, String>>, key| map.as_ref().is_some_and(|map| map.contains_key(key));
    has(&metadata.annotations, names::ELECT) && has(&metadata.labels, names::HAS_FINALIZER)
}

/// Two of it at a time would be wrong: a StatefulSet gives the pod an identity, or its user wants it fenced.
pub fn is_unique(metadata: &ObjectMeta) -> bool {
    let owners = metadata.owner_references.iter().flatten();
    let stateful = owners
        .filter(|owner| owner.controller == Some(true))
        .any(|owner| owner.kind == "StatefulSet");
    stateful || annotation(metadata, names::FENCE_AFTER).is_some()
}

/// Where a unique pod was last tried: the name of the virtual node. Nobody else's word is needed: who forges it keeps his
/// own pod from starting.
pub fn attempted_in(metadata: &ObjectMeta) -> Option<&str> {
    annotation(metadata, names::ATTEMPTED_IN)
        .filter(|node| !node.is_empty())
        .filter(|_| is_unique(metadata))
}

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// What the webhook saved of the pod as it was submitted.
pub fn manifest(annotations: &BTreeMap<String, String>) -> Result<SourceManifest, InvalidPod> {
    let text = annotations
        .get(names::SOURCE_POD_MANIFEST)
        .ok_or(InvalidPod::NoManifest)?;
    Ok(SourceManifest::parse(text)?)
}

impl SourcePod {
    /// Read a pod as kube-scheduler sends it.
    pub fn read(pod: &Pod) -> Result<Self, InvalidPod> {
        let metadata = &pod.metadata;
        let empty = PodSpec::default();
        let proxy = match is_proxy(metadata) {
            true => Some(Proxy {
                wanted: Wanted::read(metadata, pod.spec.as_ref().unwrap_or(&empty))?,
                unique: is_unique(metadata),
                attempted_in: attempted_in(metadata).map(str::to_owned),
            }),
            false => None,
        };
        Ok(Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            proxy,
        })
    }
}

impl Wanted {
    /// What a delegate wants that is in a target already.
    pub fn of_delegate(chaperon: &PodChaperon) -> Result<Self, InvalidPod> {
        let constraints = SchedulingConstraints::from_spec(&chaperon.spec.pod);
        Ok(Self {
            requests: pod_requests(&chaperon.spec.typed()?)?,
            constraints: Constraints::compile(&constraints)?,
            no_reservation: false,
        })
    }

    /// The requests are the visible spec's; the constraints are those that the delegate will have, so the saved ones.
    pub fn read(metadata: &ObjectMeta, spec: &PodSpec) -> Result<Self, InvalidPod> {
        let annotations = metadata.annotations.clone().unwrap_or_default();
        let options = PodOptions::parse(&annotations)?;
        let saved = manifest(&annotations)?;
        let constraints = match options.proxy_constraints {
            ProxyConstraints::FromSpec => Constraints::default(),
            _ => Constraints::compile(&saved.constraints)?,
        };
        Ok(Self {
            requests: pod_requests(spec)?,
            constraints,
            no_reservation: options.no_reservation,
        })
    }
}
