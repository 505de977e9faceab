//! Why there are no (new) credentials, in words for people.

use kube::Error;
use multicluster_api::names;

use crate::api_error;
use crate::source::link::call::CallError;

/// Longest text that is taken over from others.
const MAX_QUOTE: usize = 512;

/// Why. No text holds a piece of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Reason of the condition, and in metrics.
    pub reason: &'static str,
    /// What to do.
    pub message: String,
}

/// Reason of what may be over with the next attempt.
pub const API_ERROR: &str = "APIError";

/// Reasons of attempts that have failed, of which some alert may ask whether they become more.
pub const ISSUE_ERRORS: [&str; 6] = [
    API_ERROR,
    "CertManagerMissing",
    "Denied",
    "IssuerFailed",
    "IssuerNotFound",
    "ServiceAccountNotFound",
];

impl Problem {
    /// A problem.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// What became of a call, where nothing else is known of it. `what` goes on "the agent may not".
    pub fn of_call(what: &str, error: &CallError) -> Self {
        match error {
            CallError::Kube(error) if api_error::is_denied(error) => Self::new(
                "Forbidden",
                format!(
                    "the agent may not {what}: apply the manifests of this version ({})",
                    quote(&error.to_string())
                ),
            ),
            CallError::Kube(Error::Api(status)) if matches!(status.code, 400 | 422) => Self::new(
                "Refused",
                format!("the API server refuses to {what}: {}", quote(&status.message)),
            ),
            // The error of a call that was not understood could quote the answer.
            CallError::Kube(Error::SerdeError(_)) => {
                Self::new(API_ERROR, format!("to {what}: the answer makes no sense"))
            }
            error => Self::new(API_ERROR, format!("to {what}: {}", quote(&error.to_string()))),
        }
    }

    /// The Secret is somebody else's.
    pub fn taken(secret: &str, why: &str) -> Self {
        Self::new(
            "SecretNameTaken",
            format!(
                "Secret {secret} was not made for this Kubeconfig ({why}): delete it, or write another spec.secretName"
            ),
        )
    }

    /// cert-manager is not there.
    pub fn no_cert_manager() -> Self {
        Self::new(
            "CertManagerMissing",
            "the API server knows no CertificateRequests: install cert-manager, or write spec.token",
        )
    }

    /// The credentials that came are not those that were asked for.
    pub fn not_ours(message: impl Into<String>) -> Self {
        Self::new("UnusableCredentials", message)
    }
}

/// What somebody else has written, not too much of it.
pub fn quote(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_QUOTE).collect()
}

/// The issuer, as people look for it.
pub fn issuer() -> String {
    format!("Issuer {}/{}", names::INSTALL_NAMESPACE, names::IDENTITY_ISSUER)
}
