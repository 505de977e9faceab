//! What of an object is written into a target.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::facts::Labels;
use super::object::ObjectKey;

/// What is the same for all copies of one link.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Name of the source cluster.
    pub cluster_name: &'a str,
    /// The user that the target knows us as.
    pub source_user: Option<&'a str>,
    /// Of a Service: its selector, rewritten.
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
    /// All fields but metadata, kind and version.
    pub body: Map<String, Value>,
}

impl Copy {
    /// Of an object of the source.
    pub fn of(key: &ObjectKey, object: &Value, context: &Context<'_>) -> Result<Self, NotCopied> {
        let _ = (key, object, context);
        Err(NotCopied {
            reason: "NotYet",
            message: String::new(),
            quiet: true,
        })
    }

    /// A hash of all that is written.
    pub fn digest(&self) -> String {
        String::new()
    }

    /// The whole object, to be made.
    pub fn manifest(&self) -> Value {
        Value::Null
    }
}
