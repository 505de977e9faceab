//! What is in a target under an object's name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use multicluster_api::names;
use multicluster_api::syntax::is_subdomain;
use multicluster_api::virtual_node::short_hash;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::copy::{Context, is_open};
use super::object::Kind;
use crate::source::exposure::site::Address;

/// Which parts of an object are the source's: the annotation [`FOLLOWED_KEYS`](multicluster_api::names::FOLLOWED_KEYS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Keys of labels.
    #[serde(default)]
    pub labels: BTreeSet<String>,
    /// Keys of annotations.
    #[serde(default)]
    pub annotations: BTreeSet<String>,
    /// JSON pointers of fields that the target may have of its own when the source has none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fields: BTreeSet<String>,
    /// What cannot be changed in place, hashed, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed: BTreeMap<String, String>,
}

/// An object in a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// UID there.
    pub uid: String,
    /// Version there.
    pub resource_version: String,
    /// It is a copy that we made.
    pub ours: bool,
    /// UID of the object in the source.
    pub source_uid: Option<String>,
    /// Digest of what was written. `None` makes [`plan`](super::plan::plan) write again: set it so when somebody in the
    /// target has changed the copy.
    pub digest: Option<String>,
    /// What of it is the source's, as far as it is there.
    pub followed: Followed,
    /// It has annotations at all.
    pub has_annotations: bool,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// Addresses of its load balancer, as its status says. In order, without doubles.
    pub addresses: Vec<Address>,
    /// Changes when somebody writes anything but the status, and does not when nobody does. Of an object of which only
    /// the metadata is known it is the version.
    pub fingerprint: String,
}

impl Held {
    /// Read an object, or its metadata alone.
    pub fn of(kind: Kind, object: &Value, context: &Context<'_>) -> Self {
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let label = |key: &str| metadata["labels"][key].as_str();
        let annotation = |key: &str| metadata["annotations"][key].as_str();
        Self {
            uid: text(&metadata["uid"]),
            resource_version: text(&metadata["resourceVersion"]),
            ours: label(names::PARENT_CLUSTER_NAME) == Some(context.cluster_name)
                && label(names::PARENT_UID).is_some()
                && annotation(names::SOURCE_USER) == context.source_user,
            source_uid: label(names::PARENT_UID).map(str::to_owned),
            digest: annotation(names::DIGEST).map(str::to_owned),
            followed: followed(kind, metadata),
            has_annotations: metadata["annotations"].is_object(),
            deleting: !metadata["deletionTimestamp"].is_null(),
            addresses: addresses(&object["status"]),
            fingerprint: fingerprint(object),
        }
    }
}

/// Somebody in the target may have changed the annotation too: it names no field that copies do not have.
fn followed(kind: Kind, metadata: &Value) -> Followed {
    let text = metadata["annotations"][names::FOLLOWED_KEYS].as_str();
    let mut followed: Followed = text
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let is_in = |map: &str, key: &String| metadata[map].get(key).is_some();
    followed.labels.retain(|key| is_in("labels", key));
    followed.annotations.retain(|key| is_in("annotations", key));
    let is_field = |pointer: &String| {
        let field = pointer.strip_prefix("/spec/");
        field.is_some_and(|field| !field.is_empty() && !field.contains('/'))
    };
    followed.fields.retain(|pointer| is_open(kind) && is_field(pointer));
    followed
}

fn addresses(status: &Value) -> Vec<Address> {
    let points = status["loadBalancer"]["ingress"].as_array().into_iter().flatten();
    let addresses = points.flat_map(|point| {
        let ip = point["ip"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
        let name = point["hostname"].as_str().map(str::to_ascii_lowercase);
        let name = name.filter(|name| is_subdomain(name));
        [ip.map(Address::Ip), name.map(Address::Hostname)]
    });
    let addresses: BTreeSet<Address> = addresses.flatten().collect();
    addresses.into_iter().collect()
}

fn fingerprint(object: &Value) -> String {
    let metadata = &object["metadata"];
    match object.get("spec") {
        Some(spec) => {
            let seen = json!([metadata["uid"], metadata["labels"], metadata["annotations"], spec]);
            short_hash(&seen.to_string(), 32)
        }
        None => metadata["resourceVersion"].as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests;
