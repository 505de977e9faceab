//! What an API server's refusals mean.

use kube::Error;

/// HTTP status of the API server's answer.
fn code(error: &Error) -> Option<u16> {
    if let Error::Api(status) = error {
        Some(status.code)
    } else {
        None
    }
}

/// The object is not there.
pub fn is_not_found(error: &Error) -> bool {
    code(error) == Some(404)
}

/// The object is not there, and the API server knows its kind. One that does not know it answers 404, too.
pub fn is_object_not_found(error: &Error) -> bool {
    let named = |error: &Error| matches!(error, Error::Api(status) if status.details.as_ref().is_some_and(|details| !details.name.is_empty()));
    is_not_found(error) && named(error)
}

/// An object of this name is there already.
pub fn is_already_exists(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}

/// A precondition did not hold: what was read before is out of date.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409 && status.reason != "AlreadyExists")
}

/// Somebody else was faster, in creating or in changing the object.
pub fn is_overtaken(error: &Error) -> bool {
    code(error) == Some(409)
}

/// The credentials are not, or no longer, good for this.
pub fn is_denied(error: &Error) -> bool {
    matches!(code(error), Some(401 | 403))
}

/// The API server understood and refuses: trying again does not help until something changes.
pub fn refusal(error: &Error) -> Option<String> {
    match error {
        Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 422) => Some(status.message.clone()),
        _ => None,
    }
}

/// An object that is gone, or another one by now, is as good as deleted.
pub fn ignore_gone<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(error) if !is_not_found(&error) && !is_conflict(&error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_kind_says_nothing_of_an_object() {
        let object = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": "podchaperons.multicluster.admiralty.io \"web-0\" not found",
            "details": { "name": "web-0", "group": "multicluster.admiralty.io", "kind": "podchaperons" },
        });
        let object = Error::Api(serde_json::from_value(object).unwrap());
        // What the API server answers is no Status then; this is what kube makes of it.
        let kind = json!({ "status": "Failure", "reason": "Failed to parse error data", "code": 404,
            "message": "404 page not found" });
        let kind = Error::Api(serde_json::from_value(kind).unwrap());
        assert!(is_not_found(&object) && is_object_not_found(&object));
        assert!(is_not_found(&kind) && !is_object_not_found(&kind));
    }
}
