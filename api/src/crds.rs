//! The CustomResourceDefinitions, generated from the types of this crate.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt, ResourceExt};

use crate::{
    ClusterSource, ClusterSummary, ClusterTarget, Kubeconfig, NodeSummary, PodChaperon, Source, Target,
    TrustedIdentityProvider, names,
};

/// Labels of all definitions, by which they are found.
const LABELS: [(&str, &str); 3] = [
    ("app.kubernetes.io/name", "multicluster-crds"),
    ("app.kubernetes.io/component", "crds"),
    (names::PART_OF, names::PART_OF_VALUE),
];

/// All definitions, in the order in which they are applied.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        Target::crd(),
        ClusterTarget::crd(),
        Source::crd(),
        ClusterSource::crd(),
        PodChaperon::crd(),
        ClusterSummary::crd(),
        NodeSummary::crd(),
        TrustedIdentityProvider::crd(),
        Kubeconfig::crd(),
    ]
}

/// The manifest of one definition.
pub fn manifest(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    let mut crd = crd.clone();
    let labels = LABELS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    crd.labels_mut().extend(labels);
    let yaml = serde_saphyr::to_string(&crd)?;
    Ok(format!(
        "# Generated from the types in api/src; change them there and run `make manifests`.\n{yaml}"
    ))
}

/// File name of a definition below manifests/chart/files/crds.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}.yaml", crd.spec.names.plural)
}
