//! The pod that a chaperon asks for. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use multicluster_api::raw::RawPod;
use multicluster_api::{PodChaperon, names};

/// Annotations that are about the chaperon, and none of the pod's.
const OF_THE_CHAPERON: [&str; 7] = [
    names::VIRTUAL_NODE,
    names::SOURCE_USER,
    names::FENCE_AFTER,
    names::HEARD,
    names::AWAITS_FILES,
    names::FILES_REFUSED,
    names::TRACEPARENT,
];

/// The pod that a chaperon asks for, owned by it.
pub fn delegate_pod(chaperon: &PodChaperon) -> RawPod {
    let mut annotations = chaperon.annotations().clone();
    annotations.retain(|key, _| !OF_THE_CHAPERON.contains(&key.as_str()));
    let owner = OwnerReference {
        block_owner_deletion: Some(true),
        ..chaperon.controller_owner_ref(&()).unwrap_or_default()
    };
    let metadata = ObjectMeta {
        name: chaperon.metadata.name.clone(),
        namespace: chaperon.metadata.namespace.clone(),
        labels: chaperon.metadata.labels.clone(),
        annotations: Some(annotations),
        owner_references: Some(vec![owner]),
        ..Default::default()
    };
    RawPod::new(metadata, chaperon.spec.pod.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_delegate_has_the_pods_annotations_and_none_of_its_chaperons() {
        let mut annotations =
            json!({ "example.com/note": "hello", names::PARENT_NAME: "web-0", names::IS_DELEGATE: "" });
        let pods: Vec<_> = annotations.as_object().unwrap().keys().cloned().collect();
        for key in OF_THE_CHAPERON {
            annotations[key] = json!("true");
        }
        let chaperon = json!({
            "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "PodChaperon",
            "metadata": { "name": "web-0-1", "namespace": "n", "uid": "c", "annotations": annotations },
            "spec": { "containers": [{ "name": "c", "image": "i", "field-of-2030": true }] },
        });
        let pod = delegate_pod(&serde_json::from_value(chaperon).unwrap());
        assert_eq!(pod.annotations().keys().cloned().collect::<Vec<_>>(), pods);
        assert_eq!(pod.spec["containers"][0]["field-of-2030"], true);
        let owner = &pod.owner_references()[0];
        assert_eq!((owner.uid.as_str(), owner.block_owner_deletion), ("c", Some(true)));
    }
}
