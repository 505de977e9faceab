//! What it means that a target does not take a copy, and what to say about it. Pure.

use kube::Error;
use kube::core::Status;
use multicluster_api::names;

use super::object::{Kind, ObjectKey};
use crate::api_error;
use crate::source::link::call::CallError;

/// Longest part of what another API server says that is told.
const MOST_CHARS: usize = 400;

/// Reason of a refusal: somebody else's object has the name.
pub const NAME_TAKEN: &str = "CopyNameTaken";
/// Reason: the target does not know the kind.
pub const DEFINITION_MISSING: &str = "CopyDefinitionMissing";

/// Why an object cannot be copied into a target, until something changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In CamelCase, for events.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub note: String,
}

/// A copy was tried to be written, and was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Trying again does not help until something changes there, or here.
    Refused(Refusal),
    /// An object of this name is there already.
    Taken,
    /// A field that changed cannot be changed in place.
    Immutable,
    /// What was known of the target is out of date, or it has trouble of its own: try again.
    Again(String),
}

/// Words for a kind's objects.
fn plural(kind: Kind) -> String {
    kind.resource().plural
}

/// Somebody else's object has the name.
pub fn taken(key: &ObjectKey, target: &str) -> Refusal {
    let kind = key.kind.resource().kind;
    let note = format!(
        "not copied to {target}: a {kind} of this name is there that is not a copy of this one, and is left alone; rename or \
         delete one of them, or let pods use that one: annotate this one with {}: \"false\"",
        names::FOLLOW
    );
    Refusal {
        reason: NAME_TAKEN,
        note,
    }
}

/// The target does not know the kind.
pub fn undefined(kind: Kind, target: &str) -> Refusal {
    let resource = kind.resource();
    let note = format!(
        "not copied to {target}: install the definition of {}.{} there; it is looked for every 30 s",
        resource.plural, resource.group
    );
    Refusal {
        reason: DEFINITION_MISSING,
        note,
    }
}

/// The target does not let us.
pub fn forbidden(kind: Kind, target: &str, said: &str) -> Refusal {
    let note = format!(
        "not copied to {target}: grant the source there create, get, list, watch, patch and delete on {}, as ClusterRole \
         multicluster-source does{}",
        plural(kind),
        quoted(said)
    );
    Refusal {
        reason: "CopyForbidden",
        note,
    }
}

/// What follows from the target's answer to a write.
pub fn judge(error: &CallError, key: &ObjectKey, target: &str) -> Failure {
    match error {
        CallError::Kube(Error::Api(status)) => judge_status(status, key, target),
        error => Failure::Again(error.to_string()),
    }
}

fn judge_status(status: &Status, key: &ObjectKey, target: &str) -> Failure {
    let said = status.message.as_str();
    let refused = |reason, note| Failure::Refused(Refusal { reason, note });
    let details = status.details.as_ref();
    // Validation errors may quote what they are about.
    let quote = if key.kind == Kind::Secret {
        String::new()
    } else {
        quoted(said)
    };
    match status.code {
        404 if details.is_some_and(|details| details.kind == "namespaces") => refused(
            "CopyNamespaceMissing",
            format!("not copied to {target}: make the namespace {} there", key.namespace),
        ),
        // The object itself went meanwhile.
        404 if details.is_some_and(|details| !details.name.is_empty()) => Failure::Again(said.to_owned()),
        404 => Failure::Refused(undefined(key.kind, target)),
        403 if said.contains("being terminated") => refused(
            "CopyNamespaceTerminating",
            format!(
                "not copied to {target}: the namespace {} is being deleted there",
                key.namespace
            ),
        ),
        403 if said.contains("exceeded quota") => refused(
            "CopyQuotaExceeded",
            format!(
                "not copied to {target}: raise the quota there, or delete what is not needed{}",
                quoted(said)
            ),
        ),
        403 => Failure::Refused(forbidden(key.kind, target, said)),
        409 if status.reason == "AlreadyExists" => Failure::Taken,
        422 if said.contains("immutable") || said.contains("may not change") => Failure::Immutable,
        // A JSON Patch that does not apply any more: its answer names no object.
        422 if details.is_none_or(|details| details.name.is_empty()) => Failure::Again(said.to_owned()),
        400 | 413 | 422 => refused(
            "CopyInvalid",
            format!(
                "not copied to {target}, which does not take it: change what it names here, or update the target{quote}"
            ),
        ),
        _ => Failure::Again(short(said)),
    }
}

fn quoted(said: &str) -> String {
    match said {
        "" => String::new(),
        said => format!(" ({})", short(said)),
    }
}

fn short(said: &str) -> String {
    said.chars().take(MOST_CHARS).collect()
}

/// Is this only the target's, or the network's, trouble?
pub fn is_denied(error: &CallError) -> bool {
    matches!(error, CallError::Kube(error) if api_error::is_denied(error))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judged(kind: Kind, status: Value) -> Failure {
        let error = CallError::Kube(Error::Api(serde_json::from_value(status).unwrap()));
        judge(&error, &ObjectKey::new(kind, "shop", "web"), "eu")
    }

    fn status(code: u16, reason: &str, message: &str, details: Value) -> Value {
        json!({ "status": "Failure", "code": code, "reason": reason, "message": message, "details": details })
    }

    #[test]
    fn every_answer_has_a_meaning() {
        let web = json!({ "name": "web", "kind": "configmaps" });
        let namespace = json!({ "name": "shop", "kind": "namespaces" });
        for (status, expected) in [
            (status(409, "AlreadyExists", "exists", web.clone()), "Taken"),
            (status(409, "Conflict", "changed", web.clone()), "Again"),
            (
                status(404, "NotFound", "namespaces \"shop\" not found", namespace),
                "CopyNamespaceMissing",
            ),
            (
                status(404, "NotFound", "configmaps \"web\" not found", web.clone()),
                "Again",
            ),
            (
                status(404, "Failed to parse error data", "404 page not found", json!(null)),
                "CopyDefinitionMissing",
            ),
            (
                status(403, "Forbidden", "… exceeded quota: q, requested: …", web.clone()),
                "CopyQuotaExceeded",
            ),
            (
                status(
                    403,
                    "Forbidden",
                    "… in namespace shop because it is being terminated",
                    web.clone(),
                ),
                "CopyNamespaceTerminating",
            ),
            (
                status(403, "Forbidden", "user x cannot create", web.clone()),
                "CopyForbidden",
            ),
            (
                status(
                    422,
                    "Invalid",
                    "data: Forbidden: field is immutable when `immutable` is set",
                    web.clone(),
                ),
                "Immutable",
            ),
            (
                status(422, "Invalid", "spec.ports: Invalid value: 70000", web.clone()),
                "CopyInvalid",
            ),
            (
                status(
                    422,
                    "",
                    "the server rejected our request due to an error in our request",
                    json!({}),
                ),
                "Again",
            ),
            (
                status(400, "BadRequest", "admission webhook denied the request", web.clone()),
                "CopyInvalid",
            ),
            (status(500, "InternalError", "etcd", json!(null)), "Again"),
            (status(429, "TooManyRequests", "slow down", json!(null)), "Again"),
        ] {
            let seen = match judged(Kind::ConfigMap, status.clone()) {
                Failure::Refused(refusal) => refusal.reason.to_owned(),
                other => format!("{other:?}").split('(').next().unwrap_or_default().to_owned(),
            };
            assert_eq!(seen, expected, "{status}");
        }
    }

    #[test]
    fn a_note_names_the_target_and_what_to_do() {
        let Failure::Refused(refusal) = judged(
            Kind::Secret,
            status(
                404,
                "NotFound",
                "namespaces \"shop\" not found",
                json!({ "name": "shop", "kind": "namespaces" }),
            ),
        ) else {
            panic!()
        };
        assert!(
            refusal.note.contains("to eu") && refusal.note.contains("namespace shop"),
            "{refusal:?}"
        );
    }

    #[test]
    fn no_secret_is_told() {
        let invalid = status(
            422,
            "Invalid",
            "data: Invalid value: \"hunter2\"",
            json!({ "name": "web" }),
        );
        let Failure::Refused(refusal) = judged(Kind::Secret, invalid) else {
            panic!()
        };
        assert!(!refusal.note.contains("hunter2"), "{refusal:?}");
    }

    #[test]
    fn a_target_that_talks_much_is_cut_short() {
        let much = status(403, "Forbidden", &"no ".repeat(1 << 16), json!({ "name": "web" }));
        let Failure::Refused(refusal) = judged(Kind::ConfigMap, much) else {
            panic!()
        };
        assert!(refusal.note.len() < 1024);
    }
}
