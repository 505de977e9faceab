//! What of an object is written into a target.
//!
//! Of the metadata, labels and annotations go along, without those that speak of the object's life in the source. Of the
//! rest, what the target's API server or its controllers choose stays out, so that they choose it: each kind has a file
//! that says what.

mod config_map;
mod http_route;
mod ingress;
mod metadata;
mod secret;
mod service;

use std::collections::BTreeMap;

use multicluster_api::names;
use multicluster_api::virtual_node::short_hash;
use serde_json::{Map, Value, json};

use super::facts::Labels;
use super::held::Followed;
use super::object::{Kind, ObjectKey};

/// Hex digits of a digest: 128 bits.
const DIGEST_DIGITS: usize = 32;
/// Hex digits of the hash of what cannot be changed in place.
const FIXED_DIGITS: usize = 16;
/// Name of what is fixed when an object is immutable.
const CONTENT: &str = "content";

/// What is the same for all copies of one link.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Name of the source cluster.
    pub cluster_name: &'a str,
    /// The user that the target knows us as.
    pub source_user: Option<&'a str>,
    /// Of a Service: its selector, rewritten. Without it, it is rewritten as for no pods.
    pub selector: Option<&'a Labels>,
}

/// Why an object has no copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotCopied {
    /// In CamelCase, for events.
    pub reason: &'static str,
    /// What to do about it.
    pub message: String,
    /// It is not meant to follow pods at all: no event.
    pub quiet: bool,
}

impl NotCopied {
    fn quiet(reason: &'static str, message: &str) -> Self {
        Self {
            reason,
            message: message.into(),
            quiet: true,
        }
    }
}

/// Does its owner let it go? One that is to differ from target to target stays, and each target has its own.
fn may_follow(annotation: &Value) -> Result<(), NotCopied> {
    match annotation.as_str() {
        None | Some("true") => Ok(()),
        Some("false") => Err(NotCopied::quiet("NotToFollow", "its annotation says so")),
        Some(_) => Err(NotCopied {
            reason: "FollowInvalid",
            message: format!(
                "not copied: write \"true\" or \"false\" in annotation {}",
                names::FOLLOW
            ),
            quiet: false,
        }),
    }
}

/// The wanted copy of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// Which object.
    pub key: ObjectKey,
    /// UID of the object in the source.
    pub source_uid: String,
    /// All labels that are the source's, ours included.
    pub labels: BTreeMap<String, String>,
    /// All annotations that are the source's, ours included, but the digest and the list of keys.
    pub annotations: BTreeMap<String, String>,
    /// All fields but metadata, kind and version. A null is a field that the object does not have.
    pub body: Map<String, Value>,
}

impl Copy {
    /// Of an object of the source.
    pub fn of(key: &ObjectKey, object: &Value, context: &Context<'_>) -> Result<Self, NotCopied> {
        let metadata = &object["metadata"];
        let Some(source_uid) = metadata["uid"].as_str() else {
            return Err(NotCopied::quiet("NoUid", "the object has no UID"));
        };
        may_follow(&metadata["annotations"][names::FOLLOW])?;
        let mut annotations = metadata::annotations(metadata, context);
        let body = match key.kind {
            Kind::ConfigMap => config_map::body(key, object)?,
            Kind::Secret => secret::body(object)?,
            Kind::Service => service::body(object, context, &mut annotations)?,
            Kind::Ingress => ingress::body(object),
            Kind::HttpRoute => http_route::body(object),
            Kind::ServiceImport | Kind::EndpointSlice => {
                let message = "it is made for an exported Service, and follows no pods";
                return Err(NotCopied::quiet("FollowsNoPods", message));
            }
        };
        Ok(Self {
            key: key.clone(),
            source_uid: source_uid.into(),
            labels: metadata::labels(metadata, source_uid, context),
            annotations,
            body,
        })
    }

    /// A hash of all that is written. The UID in the labels makes it another one for each object, so that it does not tell
    /// that two Secrets are equal.
    pub fn digest(&self) -> String {
        let written = json!([self.labels, self.annotations, self.body]);
        short_hash(&written.to_string(), DIGEST_DIGITS)
    }

    /// The whole object, to be made.
    pub fn manifest(&self) -> Value {
        let resource = self.key.kind.resource();
        let body = self.body.iter().filter(|(_, value)| !value.is_null());
        let mut object: Map<String, Value> = body.map(|(field, value)| (field.clone(), value.clone())).collect();
        object.insert("apiVersion".into(), resource.api_version.into());
        object.insert("kind".into(), resource.kind.into());
        let metadata = json!({
            "name": self.key.name,
            "namespace": self.key.namespace,
            "labels": self.labels,
            "annotations": self.all_annotations(),
        });
        object.insert("metadata".into(), metadata);
        Value::Object(object)
    }

    /// All annotations, with the digest and the list of keys.
    pub(super) fn all_annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self.annotations.clone();
        annotations.insert(names::DIGEST.into(), self.digest());
        let followed = serde_json::to_string(&self.followed()).unwrap_or_default();
        annotations.insert(names::FOLLOWED_KEYS.into(), followed);
        annotations
    }

    /// The fields, each with its JSON pointer, that are written as a whole. What the target adds beside them survives.
    pub(super) fn fields(&self) -> BTreeMap<String, Value> {
        let spec = self.body.get("spec").and_then(Value::as_object);
        let spec = spec.filter(|_| is_open(self.key.kind));
        let fields = |prefix: &str, object: &Map<String, Value>| {
            let pairs = object.iter();
            pairs
                .map(|(field, value)| (pointer(prefix, field), value.clone()))
                .collect()
        };
        spec.map_or_else(|| fields("", &self.body), |spec| fields("/spec", spec))
    }

    fn followed(&self) -> Followed {
        let fields = self.fields().into_keys().filter(|_| is_open(self.key.kind));
        Followed {
            labels: self.labels.keys().cloned().collect(),
            annotations: self.annotations.keys().cloned().collect(),
            fields: fields.collect(),
            fixed: self.fixed(),
        }
    }

    /// What cannot be changed in place.
    fn fixed(&self) -> BTreeMap<String, String> {
        let fixed = match self.key.kind {
            Kind::ConfigMap => config_map::fixed(&self.body),
            Kind::Secret => secret::fixed(&self.body),
            Kind::Service => service::fixed(&self.body),
            _ => Vec::new(),
        };
        // With the name, so that it does not tell that two Secrets are equal.
        let salted = |value: Value| json!([self.key.namespace, self.key.name, value]).to_string();
        let hashed = |value: Value| short_hash(&salted(value), FIXED_DIGITS);
        fixed
            .into_iter()
            .map(|(name, value)| (name.to_owned(), hashed(value)))
            .collect()
    }

    /// Must a copy with these fixed parts make room for this one?
    pub(super) fn must_replace(&self, held: &BTreeMap<String, String>) -> bool {
        let wanted = self.fixed();
        held.iter().any(|(name, value)| match wanted.get(name) {
            Some(wanted) => wanted != value,
            None => name == CONTENT,
        })
    }
}

/// Does the target add fields of its own to the spec? Then ours are written one by one.
pub(super) fn is_open(kind: Kind) -> bool {
    matches!(kind, Kind::Service | Kind::Ingress)
}

/// A pointer to a member of the object that another pointer leads to (RFC 6901).
pub(super) fn pointer(prefix: &str, member: &str) -> String {
    format!("{prefix}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// A field of an object, null where it has none.
fn field(object: &Value, name: &str) -> (String, Value) {
    (name.to_owned(), object[name].clone())
}

/// An object without the fields that are null.
fn without_nulls(object: &Value) -> Map<String, Value> {
    let fields = object.as_object().into_iter().flatten();
    let fields = fields.filter(|(_, value)| !value.is_null());
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests;
