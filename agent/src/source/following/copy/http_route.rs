//! Copies of HTTPRoutes.

use serde_json::{Map, Value};

use super::without_nulls;

/// The whole spec. A parent without a namespace is a Gateway of the route's own namespace, in the target as in the source.
pub(super) fn body(object: &Value) -> Map<String, Value> {
    let spec = Value::Object(without_nulls(&object["spec"]));
    [("spec".to_owned(), spec)].into_iter().collect()
}
