//! AdmissionReview, `admission.k8s.io/v1`, as it comes and goes.
//!
//! See <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::object::place_of;
use crate::verdict::{Denial, Verdict};

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

/// What the API server asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Identifies the question; the answer repeats it.
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    /// What the object is.
    #[serde(borrow)]
    pub kind: Kind<'a>,
    /// Part of the object that is written, for example `status`.
    #[serde(borrow, default)]
    pub sub_resource: Cow<'a, str>,
    /// Namespace of the object, when it has one.
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    /// The object as it will be.
    #[serde(borrow)]
    pub object: Option<&'a RawValue>,
    /// The object as it was.
    #[serde(borrow)]
    pub old_object: Option<&'a RawValue>,
}

/// Group, version and kind of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Kind<'a> {
    /// API group; empty for the core.
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    /// API version.
    #[serde(borrow, default)]
    pub version: Cow<'a, str>,
    /// Kind.
    #[serde(borrow, default)]
    pub kind: Cow<'a, str>,
}

impl<'a> Kind<'a> {
    /// A kind that is known by name.
    pub const fn new(group: &'a str, version: &'a str, kind: &'a str) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
        }
    }
}

impl std::fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.group.is_empty() {
            true => write!(f, "{} {}", self.version, self.kind),
            false => write!(f, "{}/{} {}", self.group, self.version, self.kind),
        }
    }
}

/// Read a review. The error is a short text for the answer's body; it quotes nothing of what came.
pub fn decode(body: &[u8]) -> Result<Request<'_>, String> {
    let review: Review =
        serde_json::from_slice(body).map_err(|error| format!("the body is no {KIND}: {}", place_of(&error)))?;
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(format!(
            "the body is no {KIND} of {API_VERSION}; write admissionReviewVersions: [v1] in the webhook's configuration"
        ));
    }
    match review.request {
        Some(request) if !request.uid.is_empty() => Ok(request),
        Some(_) => Err(format!("the {KIND} has a request without a uid")),
        None => Err(format!("the {KIND} has no request")),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

/// Write the answer to the request with this uid.
pub fn encode(uid: &str, verdict: &Verdict) -> Result<Vec<u8>, serde_json::Error> {
    let denied = match verdict {
        Verdict::Denied(Denial { code, reason, message }) => Some(Status {
            code: *code,
            reason,
            message,
        }),
        Verdict::Allowed | Verdict::Patched(_) => None,
    };
    let patch = match verdict {
        Verdict::Patched(patch) if !patch.is_empty() => Some(STANDARD.encode(serde_json::to_vec(patch)?)),
        _ => None,
    };
    let response = Response {
        uid,
        allowed: denied.is_none(),
        status: denied,
        patch_type: patch.is_some().then_some("JSONPatch"),
        patch,
    };
    serde_json::to_vec(&Answer {
        api_version: API_VERSION,
        kind: KIND,
        response,
    })
}
