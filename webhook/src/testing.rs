//! Pods for tests, in as few words as the test needs.

use multicluster_api::names;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::config::ProxyConfig;
use crate::mutate::mutate;
use crate::object::Object;
use crate::verdict::{Denial, Verdict};

/// A pod as the API server sends it.
#[derive(Clone, Debug)]
pub(crate) struct Pod(pub(crate) Value);

impl Pod {
    /// An ordinary pod of a Deployment.
    pub(crate) fn plain() -> Self {
        Self(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": "web-7d4b9-",
                "namespace": "shop",
                "creationTimestamp": null,
                "labels": {"app": "web"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d4b9", "uid": "u"}],
                "managedFields": [{"manager": "kube-controller-manager"}],
            },
            "spec": {
                "containers": [{"name": "web", "image": "nginx"}],
                "schedulerName": "default-scheduler",
                "terminationGracePeriodSeconds": 30,
                "tolerations": [api_default(names::NOT_READY), api_default(names::UNREACHABLE)],
            },
            "status": {},
        }))
    }

    /// The same with the annotation that makes a proxy pod of it.
    pub(crate) fn elected() -> Self {
        Self::plain().annotation(names::ELECT, "")
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = value.into();
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = value.into();
        self
    }

    /// Set a field of the metadata, or with null: remove it.
    pub(crate) fn metadata(self, field: &str, value: Value) -> Self {
        self.set("metadata", field, value)
    }

    /// Set a field of the spec, or with null: remove it.
    pub(crate) fn spec(self, field: &str, value: Value) -> Self {
        self.set("spec", field, value)
    }

    fn set(mut self, part: &str, field: &str, value: Value) -> Self {
        let part = self.0[part].as_object_mut().unwrap();
        match value {
            Value::Null => part.remove(field),
            value => part.insert(field.into(), value),
        };
        self
    }

    pub(crate) fn tolerations(self, tolerations: impl IntoIterator<Item = Value>) -> Self {
        self.spec("tolerations", tolerations.into_iter().collect())
    }

    /// What the mutating webhook says, with the default configuration.
    pub(crate) fn verdict(&self) -> Verdict {
        let json = self.raw();
        match Object::parse(&json) {
            Ok(pod) => mutate(&pod, "shop", &ProxyConfig::default()),
            Err(denial) => Verdict::Denied(denial),
        }
    }

    /// The patch and the pod that it makes.
    pub(crate) fn mutated(&self) -> (json_patch::Patch, Pod) {
        match self.verdict() {
            Verdict::Patched(patch) => {
                let mut pod = self.clone();
                json_patch::patch(&mut pod.0, &patch).unwrap();
                (patch, pod)
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn denial(&self) -> Denial {
        match self.verdict() {
            Verdict::Denied(denial) => denial,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn raw(&self) -> Box<RawValue> {
        to_raw_value(&self.0).unwrap()
    }
}

/// What the API server's DefaultTolerationSeconds plugin adds.
pub(crate) fn api_default(taint: &str) -> Value {
    json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
}
