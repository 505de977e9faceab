//! Pods as JSON. A typed pod forgets fields that are newer than this program; these do not.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A core/v1 Pod with typed metadata, and spec and status as they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawPod {
    /// `v1`.
    #[serde(default)]
    pub api_version: String,
    /// `Pod`.
    #[serde(default)]
    pub kind: String,
    /// The object's metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The pod's spec.
    #[serde(default)]
    pub spec: Map<String, Value>,
    /// The pod's status.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub status: Map<String, Value>,
}

impl RawPod {
    /// A pod with this metadata and spec.
    pub fn new(metadata: ObjectMeta, spec: Map<String, Value>) -> Self {
        Self {
            api_version: "v1".into(),
            kind: "Pod".into(),
            metadata,
            spec,
            status: Map::new(),
        }
    }

    /// Node that the pod is bound to.
    pub fn node_name(&self) -> Option<&str> {
        self.spec
            .get("nodeName")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
    }
}

impl kube::Resource for RawPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        "Pod".into()
    }
    fn group(_: &()) -> Cow<'_, str> {
        "".into()
    }
    fn version(_: &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural(_: &()) -> Cow<'_, str> {
        "pods".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
