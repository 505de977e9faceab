//! What to do about an object's copy in a target. Pure.

use serde_json::Value;

use super::copy::Copy;
use super::held::Held;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// All is as it should be.
    Nothing,
    /// Another object of ours is on its way out; look again when it is gone.
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
    let _ = (wanted, held);
    Step::Nothing
}
