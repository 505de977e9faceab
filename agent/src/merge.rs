//! The JSON merge patch (RFC 7386) that turns one value into another.

use serde::Serialize;
use serde_json::{Map, Value};

/// The patch from `old` to `new`, or `None` when they are equal. Arrays are replaced as a whole.
pub fn diff(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for (key, value) in new {
                match old.get(key) {
                    None => patch.insert(key.clone(), value.clone()),
                    Some(before) => match diff(before, value) {
                        Some(change) => patch.insert(key.clone(), change),
                        None => continue,
                    },
                };
            }
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (old, new) if old == new => None,
        (_, new) => Some(new.clone()),
    }
}

/// One patch that does what these two do, which change different things.
pub fn joined(one: Option<Value>, other: Option<Value>) -> Option<Value> {
    match (one, other) {
        (Some(Value::Object(mut one)), Some(Value::Object(other))) => {
            for (key, value) in other {
                let before = one.remove(&key);
                one.extend(joined(before, Some(value)).map(|value| (key, value)));
            }
            Some(Value::Object(one))
        }
        (one, other) => other.or(one),
    }
}

/// [`diff`] of two typed values.
pub fn diff_of<T: Serialize>(old: &T, new: &T) -> Result<Option<Value>, serde_json::Error> {
    Ok(diff(&serde_json::to_value(old)?, &serde_json::to_value(new)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_has_only_what_changed() {
        let old = json!({"a": 1, "b": {"c": [1], "d": 2}, "e": 3});
        let new = json!({"a": 1, "b": {"c": [1, 2], "d": 2}});
        let patch = diff(&old, &new).unwrap();
        assert_eq!(patch, json!({"b": {"c": [1, 2]}, "e": null}));
        let mut patched = old;
        json_patch::merge(&mut patched, &patch);
        assert_eq!(patched, new);
    }

    #[test]
    fn equal_values_need_no_patch() {
        assert_eq!(diff(&json!({"a": {"b": []}}), &json!({"a": {"b": []}})), None);
    }
}
