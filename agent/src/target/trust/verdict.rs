//! The condition `Ready` of a TrustedIdentityProvider. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use multicluster_api::names;
use multicluster_trust::{ProviderRef, Refusal, Trusted};

use super::role::Role;

/// Reasons of the condition, in the order of the metric's documentation.
pub const REASONS: [&str; 7] = [
    TRUSTED,
    INVALID_SPEC,
    PREFIX_TAKEN,
    PROOF_TAKEN,
    TOO_MANY_USERS,
    ROLE_MISSING,
    ROLE_NOT_WRITTEN,
];
/// It is believed.
pub const TRUSTED: &str = "Trusted";
const INVALID_SPEC: &str = "InvalidSpec";
const PREFIX_TAKEN: &str = "PrefixTaken";
const PROOF_TAKEN: &str = "ProofTaken";
const TOO_MANY_USERS: &str = "TooManyUsers";
const ROLE_MISSING: &str = "RoleMissing";
const ROLE_NOT_WRITTEN: &str = "RoleNotWritten";

/// How the ClusterRole is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleState {
    /// As it should be.
    Kept,
    /// There is none: no proxy is installed here.
    Missing,
    /// It could not be written, and that may be over soon.
    Unsure,
    /// The API server refuses, with this message.
    Refused(String),
}

/// What the condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// A word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Verdict {
    /// Of a provider. `None`: it is not known yet.
    pub fn of(
        provider: &ProviderRef,
        decision: &Result<Arc<Trusted>, Refusal>,
        role: &Role,
        state: &RoleState,
    ) -> Option<Self> {
        let say = |reason, message: String| Some(Self { reason, message });
        let trusted = match decision {
            Ok(trusted) => trusted,
            Err(refusal) => return say(reason(refusal), refusal.to_string()),
        };
        match state {
            RoleState::Unsure => None,
            RoleState::Missing => say(
                ROLE_MISSING,
                format!(
                    "there is no ClusterRole {}: apply manifests/overlays/authproxy, with which the authenticating proxy comes",
                    names::IMPERSONATION_ROLE
                ),
            ),
            RoleState::Refused(message) => say(
                ROLE_NOT_WRITTEN,
                format!(
                    "the ClusterRole {} cannot be written: {message}",
                    names::IMPERSONATION_ROLE
                ),
            ),
            RoleState::Kept if role.left_out.contains(provider) => say(
                TOO_MANY_USERS,
                format!(
                    "its {} users do not fit into the ClusterRole {}: let fewer Sources name users that begin with its \
                     prefix, or write a shorter one",
                    trusted.admitted.len(),
                    names::IMPERSONATION_ROLE
                ),
            ),
            RoleState::Kept => say(TRUSTED, praise(trusted)),
        }
    }

    /// Is the provider ready?
    pub fn is_ready(&self) -> bool {
        self.reason == TRUSTED
    }

    /// The condition, if `old` says anything else of this generation.
    pub fn news(&self, old: Option<&Condition>, generation: i64, now: Timestamp) -> Option<Condition> {
        let status = if self.is_ready() { "True" } else { "False" };
        let same = |old: &&Condition| {
            (old.status.as_str(), old.reason.as_str(), &old.message) == (status, self.reason, &self.message)
                && old.observed_generation == Some(generation)
        };
        if old.as_ref().is_some_and(same) {
            return None;
        }
        let since = old.filter(|old| old.status == status);
        Some(Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: self.reason.into(),
            message: self.message.clone(),
            last_transition_time: since.map_or(Time(now), |old| old.last_transition_time.clone()),
            observed_generation: Some(generation),
        })
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Invalid(_) => INVALID_SPEC,
        Refusal::PrefixTaken(_) => PREFIX_TAKEN,
        Refusal::ProofTaken(_) => PROOF_TAKEN,
    }
}

fn praise(trusted: &Trusted) -> String {
    if !trusted.admitted.is_empty() {
        // Without a number, which would be written anew with each Source.
        return "it is believed, and its users may call".into();
    }
    let namespace = &trusted.provider.reference.namespace;
    let sources = match namespace == names::INSTALL_NAMESPACE {
        true => "no Source or ClusterSource".to_owned(),
        false => format!("no Source in namespace {namespace}"),
    };
    let prefix = &trusted.provider.prefix;
    format!(
        "it is believed, but nobody may call yet: {sources} names a user {prefix}ns/NAMESPACE/id/NAME, and spec.identities is \
         empty"
    )
}
