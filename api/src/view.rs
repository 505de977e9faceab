//! Objects as far as watches need them. What is left out is skipped while it is read, and costs no memory: most of a
//! busy cluster's objects are their specs and the API server's book-keeping of who wrote which field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PodStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer};

use crate::PodChaperonStatus;
use crate::references::{EnvFromView, EnvView, Named, VolumeView};

/// A PodChaperon without its spec.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ChaperonView {
    /// Without `managedFields`.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// The delegate's status.
    #[serde(default)]
    pub status: Option<PodChaperonStatus>,
}

/// A Pod: which node it is on, what it requests there, and how it does.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PodView {
    /// Without `managedFields`.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// The little of the spec that counts.
    #[serde(default)]
    pub spec: PodSpecView,
    /// The whole status.
    #[serde(default)]
    pub status: PodStatus,
}

/// The part of a pod's spec that says where it is, what it takes, and which ConfigMaps and Secrets it uses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpecView {
    /// The node it is bound to, or empty.
    #[serde(default)]
    pub node_name: String,
    /// Its containers.
    #[serde(default)]
    pub containers: Vec<ContainerView>,
    /// Its init containers.
    #[serde(default)]
    pub init_containers: Vec<ContainerView>,
    /// Its ephemeral containers.
    #[serde(default)]
    pub ephemeral_containers: Vec<ContainerView>,
    /// Its name in DNS, if it has one.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The Service below which it has that name.
    #[serde(default)]
    pub subdomain: Option<String>,
    /// What the pod requests as a whole (KEP-2837).
    #[serde(default)]
    pub resources: Option<ResourceRequirements>,
    /// What its runtime takes.
    #[serde(default)]
    pub overhead: Option<BTreeMap<String, Quantity>>,
    /// Its ServiceAccount.
    #[serde(default)]
    pub service_account_name: Option<String>,
    /// Secrets that it is pulled with.
    #[serde(default)]
    pub image_pull_secrets: Option<Vec<Named>>,
    /// Its volumes.
    #[serde(default)]
    pub volumes: Option<Vec<VolumeView>>,
}

/// A container's name, what it requests, what its environment is made of, and the names that it gives to its ports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerView {
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Requests and limits.
    #[serde(default)]
    pub resources: Option<ResourceRequirements>,
    /// `Always` makes an init container a sidecar (KEP-753).
    #[serde(default)]
    pub restart_policy: Option<String>,
    /// Its ports.
    #[serde(default)]
    pub ports: Vec<PortView>,
    /// Variables.
    #[serde(default)]
    pub env: Option<Vec<EnvView>>,
    /// Sets of variables.
    #[serde(default)]
    pub env_from: Option<Vec<EnvFromView>>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortView {
    /// The name by which Services may mean it.
    #[serde(default)]
    pub name: Option<String>,
    /// Its number.
    #[serde(default)]
    pub container_port: i32,
    /// `TCP` where none is given.
    #[serde(default)]
    pub protocol: Option<String>,
}

/// A ServiceExport of the Multi-Cluster Services API (KEP-1645).
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ServiceExportView {
    /// Without `managedFields`.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// What goes along to importing clusters.
    #[serde(default)]
    pub spec: ServiceExportSpecView,
    /// How the export is.
    #[serde(default)]
    pub status: ServiceExportStatusView,
}

/// What goes along with an exported Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceExportSpecView {
    /// Labels of its imports.
    #[serde(default)]
    pub exported_labels: BTreeMap<String, String>,
    /// Annotations of its imports.
    #[serde(default)]
    pub exported_annotations: BTreeMap<String, String>,
}

/// How an export is.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ServiceExportStatusView {
    /// Its conditions, whoever wrote them.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    finalizers: Option<Vec<String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let metadata = Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        generation: metadata.generation,
        creation_timestamp: metadata.creation_timestamp,
        deletion_timestamp: metadata.deletion_timestamp,
        deletion_grace_period_seconds: metadata.deletion_grace_period_seconds,
        labels: metadata.labels,
        annotations: metadata.annotations,
        finalizers: metadata.finalizers,
        owner_references: metadata.owner_references,
        ..ObjectMeta::default()
    })
}

/// The view stands for the resource it is a part of.
macro_rules! resource {
    ($view:ty, $kind:literal, $group:expr, $version:expr, $plural:literal) => {
        impl kube::Resource for $view {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind(_: &()) -> Cow<'_, str> {
                $kind.into()
            }
            fn group(_: &()) -> Cow<'_, str> {
                $group.into()
            }
            fn version(_: &()) -> Cow<'_, str> {
                $version.into()
            }
            fn plural(_: &()) -> Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(
    ChaperonView,
    "PodChaperon",
    crate::names::GROUP,
    crate::names::VERSION,
    "podchaperons"
);
resource!(PodView, "Pod", "", "v1", "pods");
resource!(
    ServiceExportView,
    "ServiceExport",
    "multicluster.x-k8s.io",
    "v1alpha1",
    "serviceexports"
);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_view_reads_what_it_needs_and_skips_the_rest() {
        let pod: PodView = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "uid": "1", "labels": {"k": "v"}, "managedFields": [{"manager": "m"}]},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i", "env": []}], "newField": {}},
            "status": {"phase": "Running"},
        }))
        .unwrap();
        assert_eq!(
            (pod.metadata.name.as_deref(), pod.metadata.managed_fields),
            (Some("a"), None)
        );
        assert_eq!(
            (pod.spec.node_name.as_str(), pod.spec.containers[0].name.as_str()),
            ("n", "c")
        );
        assert_eq!(pod.status.phase.as_deref(), Some("Running"));
    }

    #[test]
    fn an_object_without_spec_and_status_is_read() {
        assert!(serde_json::from_value::<PodView>(json!({"metadata": {"name": "a"}})).is_ok());
        assert!(serde_json::from_value::<ChaperonView>(json!({"metadata": {}})).is_ok());
    }
}
