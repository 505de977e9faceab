//! Objects that the agent makes for exposed ones: how they are marked, and when one must be written.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use multicluster_api::names;
use multicluster_api::virtual_node::short_hash;
use serde_json::{Map, Value, json};

use super::site::Exposed;
use crate::source::following::object::{Kind, ObjectKey};

/// Longest name of an object.
const LONGEST_NAME: usize = 253;
/// Longest value of a label.
const LONGEST_LABEL: usize = 63;
const HASH_DIGITS: usize = 10;

/// The word for a kind in names and labels.
pub fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::ConfigMap => "configmap",
        Kind::Secret => "secret",
        Kind::Service => "service",
        Kind::Ingress => "ingress",
        Kind::HttpRoute => "httproute",
        Kind::ServiceImport => "serviceimport",
        Kind::EndpointSlice => "endpointslice",
    }
}

/// `text`, or what fits of it and a hash.
pub fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let hash = short_hash(text, HASH_DIGITS);
    let front: String = text
        .chars()
        .filter(char::is_ascii)
        .take(longest - HASH_DIGITS - 1)
        .collect();
    format!("{}-{hash}", front.trim_end_matches(['.', '-', '_']))
}

/// Name of an object.
pub fn name(parts: &[&str]) -> String {
    cut(&parts.join("-"), LONGEST_NAME)
}

/// Value of a label.
pub fn label(text: &str) -> String {
    cut(text, LONGEST_LABEL)
}

/// Metadata of an object called `name` that the agent makes for `exposed`: in its namespace, and gone with it.
pub fn metadata(exposed: &Exposed, name: &str) -> Value {
    let (key, resource) = (&exposed.key, exposed.key.kind.resource());
    let owner = OwnerReference {
        api_version: resource.api_version,
        kind: resource.kind,
        name: key.name.clone(),
        uid: exposed.uid.clone(),
        ..Default::default()
    };
    let word = word(key.kind);
    json!({
        "name": name,
        "namespace": key.namespace,
        "labels": {
            names::MANAGED_BY: names::MANAGED_BY_AGENT,
            names::EXPOSES: label(&format!("{word}.{}", key.name)),
        },
        "annotations": { names::EXPOSES: format!("{word}/{}", key.name) },
        "ownerReferences": [owner],
    })
}

/// Labels that all of them have, as a selector.
pub fn selector() -> String {
    format!("{}={},{}", names::MANAGED_BY, names::MANAGED_BY_AGENT, names::EXPOSES)
}

/// What an object in this namespace was made for, by its annotation.
pub fn exposes(namespace: &str, annotation: &str) -> Option<ObjectKey> {
    let (kind, name) = annotation.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|known| word(*known) == kind)?;
    Some(ObjectKey::new(kind, namespace, name))
}

/// Does an object have all that is wanted of it? What the API server or others add does not count, but lists must be
/// equal in length.
pub fn covers(object: &Value, wanted: &Value) -> bool {
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) => {
            let has = |(key, value): (&String, &Value)| object.get(key).is_some_and(|own| covers(own, value));
            wanted.iter().all(has)
        }
        (Value::Array(object), Value::Array(wanted)) => {
            object.len() == wanted.len() && object.iter().zip(wanted).all(|(own, wanted)| covers(own, wanted))
        }
        (object, wanted) => object == wanted,
    }
}

/// The merge patch that makes an object what is wanted, if it is still the one with this UID.
pub fn patch(wanted: &Value, uid: &str) -> Value {
    let mut patch = wanted.as_object().cloned().unwrap_or_else(Map::new);
    if let Some(Value::Object(metadata)) = patch.get_mut("metadata") {
        metadata.insert("uid".into(), uid.into());
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::exposure::policy::tests::exposed;

    #[test]
    fn it_goes_with_what_it_exposes_and_says_what_that_is() {
        let metadata = metadata(&exposed(Kind::Ingress, &[], &[]), "ingress-web");
        assert_eq!(
            metadata["ownerReferences"][0],
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "web", "uid": "uid" })
        );
        assert_eq!(metadata["labels"][names::EXPOSES], "ingress.web");
        let annotation = metadata["annotations"][names::EXPOSES].as_str().unwrap();
        assert_eq!(
            exposes("default", annotation),
            Some(ObjectKey::new(Kind::Ingress, "default", "web"))
        );
        for wrong in ["", "ingress", "pod/web"] {
            assert_eq!(exposes("default", wrong), None);
        }
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = "n".repeat(253);
        let (one, other) = (name(&["ingress", &long]), name(&["service", &long]));
        assert_eq!(one.len(), 253);
        assert_ne!(one, other);
        let label = label(&format!("ingress.{}.x", "n".repeat(60)));
        assert!(label.len() <= 63 && multicluster_api::syntax::is_label_value(&label));
    }

    #[test]
    fn only_what_is_missing_or_different_makes_a_write() {
        let object =
            json!({ "metadata": { "labels": { "a": "b", "other": "c" } }, "ports": [{ "port": 80, "name": "" }] });
        for (wanted, covered) in [
            (json!({ "ports": [{ "port": 80 }] }), true),
            (json!({ "metadata": { "labels": { "a": "b" } } }), true),
            (json!({ "metadata": { "labels": { "a": "c" } } }), false),
            (json!({ "ports": [] }), false),
            (json!({ "ports": [{ "port": 81 }] }), false),
            (json!({ "endpoints": [] }), false),
        ] {
            assert_eq!(covers(&object, &wanted), covered, "{wanted}");
        }
    }
}
