//! Copies of Ingresses.

use serde_json::{Map, Value};

use super::without_nulls;

/// The whole spec. When it names no class, the target's default is filled in there.
pub(super) fn body(object: &Value) -> Map<String, Value> {
    let spec = Value::Object(without_nulls(&object["spec"]));
    [("spec".to_owned(), spec)].into_iter().collect()
}
