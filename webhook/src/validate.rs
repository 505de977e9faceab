//! What cannot work is refused, with a message that says what to write.
//!
//! Nothing stands in the way of an object that is being deleted, nor of a change that leaves alone what is judged here:
//! an object that was let in by an older version can still get its finalizers, labels and status changed.

mod names;
mod pod;
mod source;
mod target;
mod trust;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use pod::validate_pod;
pub use source::{validate_cluster_source, validate_source};
pub use target::{validate_cluster_target, validate_target};
pub use trust::{validate_kubeconfig, validate_trusted_identity_provider};

use crate::object::{Object, parse};
use crate::verdict::{Denial, Verdict};

/// Judge the spec of a custom resource that is created or changed. `check` gives all that is wrong with it.
pub fn validate_spec<S: DeserializeOwned>(
    old: Option<&Object<'_>>,
    new: &Object<'_>,
    check: impl FnOnce(&S) -> Vec<String>,
) -> Verdict {
    if new.is_being_deleted() {
        return Verdict::Allowed;
    }
    let Some(spec) = new.spec else {
        return Verdict::Denied(Denial::invalid("write a spec"));
    };
    let value = |json: &serde_json::value::RawValue| serde_json::from_str::<Value>(json.get()).ok();
    if let Some(old) = old.and_then(|old| old.spec)
        && value(old).is_some_and(|old| Some(old) == value(spec))
    {
        return Verdict::Allowed;
    }
    match parse::<S>(spec, "spec") {
        Err(denial) => Verdict::Denied(denial),
        Ok(spec) => match check(&spec) {
            wrong if wrong.is_empty() => Verdict::Allowed,
            wrong => Verdict::Denied(Denial::invalid(wrong.join("; "))),
        },
    }
}

#[cfg(test)]
mod tests;
