//! What is decided about an object.

use json_patch::Patch;
use multicluster_api::options::InvalidAnnotation;

/// What is decided about an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// As it is.
    Allowed,
    /// With these changes.
    Patched(Patch),
    /// Not at all.
    Denied(Denial),
}

/// Why an object is refused, as the API server passes it on to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// HTTP status code that the user's request ends with.
    pub code: u16,
    /// Kubernetes' word for that code.
    pub reason: &'static str,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Denial {
    /// The object is well-formed, but cannot work.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            code: 422,
            reason: "Invalid",
            message: message.into(),
        }
    }

    /// The object is not what this path is for, or cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self {
            code: 400,
            reason: "BadRequest",
            message: message.into(),
        }
    }
}

impl From<InvalidAnnotation> for Denial {
    fn from(error: InvalidAnnotation) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<Result<(), Denial>> for Verdict {
    fn from(result: Result<(), Denial>) -> Self {
        result.map_or_else(Verdict::Denied, |()| Verdict::Allowed)
    }
}
