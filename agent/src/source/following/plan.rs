//! What to do about an object's copy in a target. Pure.

use serde_json::{Value, json};

use super::copy::{Copy, pointer};
use super::held::Held;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// All is as it should be.
    Nothing,
    /// Our former copy is on its way out; look again when it is gone.
    Wait,
    /// Make this object.
    Create(Value),
    /// Change the object by these operations, a JSON Patch (RFC 6902).
    Patch {
        /// UID of the object, which the first operation tests too.
        uid: String,
        /// The operations.
        operations: Vec<Value>,
    },
    /// It cannot be changed in place: delete it, and look again when it is gone.
    Replace {
        /// UID of the object, as a precondition.
        uid: String,
    },
    /// Nothing needs it any more.
    Delete {
        /// UID of the object, as a precondition.
        uid: String,
        /// Its version, as a precondition.
        resource_version: String,
    },
    /// Somebody else's object has the name: leave it alone, and say so.
    Conflict,
}

/// What to do, from what is wanted in the target and what is there under that name.
pub fn plan(wanted: Option<&Copy>, held: Option<&Held>) -> Step {
    match (wanted, held) {
        (None, None) => Step::Nothing,
        (Some(wanted), None) => Step::Create(wanted.manifest()),
        (None, Some(held)) if !held.ours || held.deleting => Step::Nothing,
        (None, Some(held)) => Step::Delete {
            uid: held.uid.clone(),
            resource_version: held.resource_version.clone(),
        },
        (Some(_), Some(held)) if !held.ours => Step::Conflict,
        (Some(_), Some(held)) if held.deleting => Step::Wait,
        (Some(wanted), Some(held)) if held.digest.as_ref() == Some(&wanted.digest()) => Step::Nothing,
        (Some(wanted), Some(held)) if wanted.must_replace(&held.followed.fixed) => {
            Step::Replace { uid: held.uid.clone() }
        }
        (Some(wanted), Some(held)) => Step::Patch {
            uid: held.uid.clone(),
            operations: operations(wanted, held),
        },
    }
}

/// From what is held to what is wanted, without a look at anything but what is the source's.
fn operations(wanted: &Copy, held: &Held) -> Vec<Value> {
    let mut operations = vec![json!({"op": "test", "path": "/metadata/uid", "value": held.uid})];
    let add = |path: String, value: Value| json!({"op": "add", "path": path, "value": value});
    let remove = |path: String| json!({"op": "remove", "path": path});
    let (labels, annotations) = ("/metadata/labels", "/metadata/annotations");
    if !held.has_annotations {
        operations.push(add(annotations.into(), json!({})));
    }
    let all = wanted.all_annotations();
    for (map, wanted, followed) in [
        (labels, &wanted.labels, &held.followed.labels),
        (annotations, &all, &held.followed.annotations),
    ] {
        let pairs = wanted
            .iter()
            .map(|(key, value)| add(pointer(map, key), value.as_str().into()));
        operations.extend(pairs);
        // Somebody may have removed it meanwhile, and then there would be nothing to remove.
        let gone = followed.iter().filter(|key| !wanted.contains_key(*key));
        operations.extend(gone.flat_map(|key| [add(pointer(map, key), "".into()), remove(pointer(map, key))]));
    }
    let fields = wanted.fields();
    // A null empties a field, whether it is there or not; there is nothing to remove where there is none.
    let gone = held.followed.fields.iter().filter(|path| !fields.contains_key(*path));
    operations.extend(gone.map(|path| add(path.clone(), Value::Null)));
    operations.extend(fields.into_iter().map(|(path, value)| add(path, value)));
    operations
}

#[cfg(test)]
mod tests;
