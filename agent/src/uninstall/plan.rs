//! Which objects belong to this system, so that nothing else is touched. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use multicluster_api::names;
use multicluster_api::view::PodView;
use multicluster_api::virtual_node::{self, NODE_PREFIX};

use crate::source::following::recall;
use crate::target::grants;

/// The finalizers that stay when `finalizer` is taken off, or `None` when it is not there.
pub fn without(metadata: &ObjectMeta, finalizer: &str) -> Option<Vec<String>> {
    let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
    let left: Vec<_> = finalizers.iter().filter(|other| *other != finalizer).cloned().collect();
    (left.len() < finalizers.len()).then_some(left)
}

/// Does our finalizer hold this pod?
pub fn is_held(metadata: &ObjectMeta) -> bool {
    without(metadata, names::FINALIZER).is_some()
}

/// A proxy pod that should go: it is bound to a virtual node, and stands for nothing without the delegate; or it waits
/// for a scheduler that is gone, and its controller makes a plain one. One that waits and has no controller stays, as
/// a plain pod: nobody would make it again.
pub fn is_of_no_use(pod: &PodView) -> bool {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let bound = pod.spec.node_name.starts_with(NODE_PREFIX);
    let waits = pod.spec.node_name.is_empty();
    is_held(&pod.metadata) && (bound || (waits && owners.any(|owner| owner.controller == Some(true))))
}

/// A virtual node.
pub fn is_virtual_node(metadata: &ObjectMeta) -> bool {
    name(metadata).starts_with(NODE_PREFIX) && metadata.labels.as_ref().is_some_and(virtual_node::is_virtual_node)
}

/// The Lease of a virtual node, also when that is gone.
pub fn is_node_lease(metadata: &ObjectMeta) -> bool {
    name(metadata).starts_with(NODE_PREFIX) && has_owner(metadata, "v1", "Node")
}

/// A pod that a chaperon owns, or owned.
pub fn is_delegate(metadata: &ObjectMeta) -> bool {
    let api_version = format!("{}/{}", names::GROUP, names::VERSION);
    label(metadata, names::PARENT_UID).is_some() && has_owner(metadata, &api_version, "PodChaperon")
}

/// A Secret that a Kubeconfig made.
pub fn is_kubeconfig_secret(metadata: &ObjectMeta) -> bool {
    has_owner(metadata, &format!("{}/{}", names::GROUP, names::VERSION), "Kubeconfig")
}

/// A binding that the agent made for a Source.
pub fn is_source_binding(metadata: &ObjectMeta) -> bool {
    label(metadata, grants::MANAGED_BY.0) == Some(grants::MANAGED_BY.1)
        && name(metadata).starts_with(grants::BINDING_PREFIX)
}

/// A Service of the source whose selector the agent has rewritten. A copy, too, says how the original was: that is another
/// source's affair.
pub fn is_rerouted(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key(names::ORIGINAL_SELECTOR))
        && !recall::is_copy(metadata)
}

/// Something that the manifests install.
pub fn is_installed(metadata: &ObjectMeta) -> bool {
    label(metadata, names::PART_OF) == Some(names::PART_OF_VALUE)
}

fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn has_owner(metadata: &ObjectMeta, api_version: &str, kind: &str) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.api_version == api_version && owner.kind == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn meta(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn other_finalizers_stay() {
        let pod = meta(json!({ "finalizers": ["a/b", names::FINALIZER, "c/d"] }));
        assert_eq!(without(&pod, names::FINALIZER).unwrap(), ["a/b", "c/d"]);
        assert!(!is_held(&meta(json!({ "finalizers": ["a/b"] }))) && !is_held(&meta(json!({}))));
    }

    #[test]
    fn held_pods_go_if_another_one_comes_or_nothing_is_left_of_them() {
        let owner =
            json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true }]);
        for (node, finalizers, owners, expected) in [
            ("admiralty-eu", json!([names::FINALIZER]), json!([]), true),
            ("admiralty-eu", json!([]), json!([]), false),
            ("worker-1", json!([names::FINALIZER]), owner.clone(), false),
            ("", json!([names::FINALIZER]), json!([]), false),
            ("", json!([names::FINALIZER]), owner.clone(), true),
            ("", json!([]), owner.clone(), false),
        ] {
            let metadata = json!({ "finalizers": finalizers, "ownerReferences": owners });
            let pod = json!({ "metadata": metadata, "spec": { "nodeName": node } });
            assert_eq!(
                is_of_no_use(&serde_json::from_value(pod.clone()).unwrap()),
                expected,
                "{pod}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_ours_is_left_alone() {
        let provider = json!({ names::PROVIDER: names::PROVIDER_VALUE });
        assert!(is_virtual_node(&meta(
            json!({ "name": "admiralty-eu", "labels": provider })
        )));
        for other in [
            json!({ "name": "admiralty-eu" }),
            json!({ "name": "worker", "labels": provider }),
            json!({ "name": "admiralty-eu", "labels": { names::PROVIDER: "azure" } }),
        ] {
            assert!(!is_virtual_node(&meta(other.clone())), "{other}");
        }
        let owner = |api: &str, kind: &str| json!([{ "apiVersion": api, "kind": kind, "name": "n", "uid": "u" }]);
        let node = owner("v1", "Node");
        assert!(is_node_lease(&meta(
            json!({ "name": "admiralty-eu", "ownerReferences": node })
        )));
        assert!(!is_node_lease(&meta(
            json!({ "name": "worker", "ownerReferences": node })
        )));
        assert!(!is_node_lease(&meta(json!({ "name": "admiralty-lock" }))));
        let selected = json!({ names::ORIGINAL_SELECTOR: "{}", names::DIGEST: "d" });
        assert!(is_rerouted(&meta(json!({ "annotations": selected }))));
        let marks = json!({ names::PARENT_UID: "u", names::PARENT_CLUSTER_NAME: "c" });
        assert!(!is_rerouted(&meta(json!({ "annotations": selected, "labels": marks }))));
        assert!(!is_rerouted(&meta(json!({ "annotations": { names::GLOBAL: "true" } }))));
        let parent = json!({ names::PARENT_UID: "u" });
        let chaperon = owner("multicluster.admiralty.io/v1alpha1", "PodChaperon");
        assert!(is_delegate(&meta(
            json!({ "labels": parent, "ownerReferences": chaperon })
        )));
        assert!(!is_delegate(&meta(json!({ "labels": parent }))));
        assert!(!is_delegate(&meta(json!({ "ownerReferences": chaperon }))));
        let kubeconfig = owner("multicluster.admiralty.io/v1alpha1", "Kubeconfig");
        assert!(is_kubeconfig_secret(&meta(json!({ "ownerReferences": kubeconfig }))));
        let other = owner("example.com/v1", "Kubeconfig");
        assert!(!is_kubeconfig_secret(&meta(json!({ "ownerReferences": other }))));
        assert!(!is_kubeconfig_secret(&meta(json!({ "name": "eu" }))));
        let managed = json!({ "app.kubernetes.io/managed-by": "multicluster-agent" });
        assert!(is_source_binding(&meta(
            json!({ "name": "multicluster-source-a-1", "labels": managed })
        )));
        assert!(!is_source_binding(&meta(json!({ "name": "multicluster-source-a-1" }))));
        assert!(!is_source_binding(&meta(json!({ "name": "mine", "labels": managed }))));
    }
}
