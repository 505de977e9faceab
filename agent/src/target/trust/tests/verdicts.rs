//! What the condition says.

use jiff::Timestamp;
use multicluster_trust::{InvalidProvider, ProviderRef, Refusal};

use super::roles::trust;
use crate::target::trust::role::Role;
use crate::target::trust::verdict::{REASONS, RoleState, Verdict};

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

/// The reason and the message for a provider with so many users.
fn verdict(users: usize, state: RoleState) -> Option<(&'static str, String)> {
    let trust = trust(&[("eu", users)]);
    let role = Role::of(&trust);
    let (provider, decision) = trust.providers.first_key_value().unwrap();
    let verdict = Verdict::of(provider, decision, &role, &state)?;
    assert!(REASONS.contains(&verdict.reason));
    Some((verdict.reason, verdict.message))
}

#[test]
fn it_says_whether_anybody_may_call() {
    let (reason, message) = verdict(1, RoleState::Kept).unwrap();
    assert_eq!(
        (reason, message.as_str()),
        ("Trusted", "it is believed, and its users may call")
    );
    let (reason, message) = verdict(0, RoleState::Kept).unwrap();
    assert_eq!(reason, "Trusted");
    assert!(
        message.contains("no Source in namespace team names a user eu/ns/NAMESPACE/id/NAME"),
        "{message}"
    );
}

#[test]
fn it_says_what_to_do() {
    let reference = ProviderRef {
        namespace: "team".into(),
        name: "eu".into(),
        uid: "eu".into(),
    };
    let field = InvalidProvider::Field("spec.oidc.issuer: write an https URL".into());
    for (refusal, reason, part) in [
        (Refusal::Invalid(field), "InvalidSpec", "spec.oidc.issuer"),
        (Refusal::PrefixTaken("team/us".into()), "PrefixTaken", "team/us"),
        (Refusal::ProofTaken("team/us".into()), "ProofTaken", "team/us"),
    ] {
        // Whatever the role is: this comes first.
        let verdict = Verdict::of(&reference, &Err(refusal), &Role::default(), &RoleState::Unsure).unwrap();
        assert_eq!(verdict.reason, reason);
        assert!(verdict.message.contains(part) && !verdict.is_ready(), "{verdict:?}");
    }
    let (reason, message) = verdict(1, RoleState::Missing).unwrap();
    assert!(
        reason == "RoleMissing" && message.contains("overlays/authproxy"),
        "{message}"
    );
    let (reason, message) = verdict(1, RoleState::Refused("no escalate".into())).unwrap();
    assert!(
        reason == "RoleNotWritten" && message.contains("no escalate"),
        "{message}"
    );
    let (reason, message) = verdict(100_000, RoleState::Kept).unwrap();
    assert!(reason == "TooManyUsers" && message.contains("100000"), "{message}");
    assert_eq!(verdict(1, RoleState::Unsure), None);
}

#[test]
fn the_same_is_not_written_again() {
    let verdict = |reason| Verdict {
        reason,
        message: "m".into(),
    };
    let first = verdict("Trusted").news(None, 1, now()).unwrap();
    assert_eq!((first.status.as_str(), first.observed_generation), ("True", Some(1)));
    let later = now() + jiff::SignedDuration::from_secs(60);
    assert_eq!(verdict("Trusted").news(Some(&first), 1, later), None);
    // Another spec, the same verdict: it has not become ready anew.
    let second = verdict("Trusted").news(Some(&first), 2, later).unwrap();
    assert_eq!(
        (&second.last_transition_time, second.observed_generation),
        (&first.last_transition_time, Some(2))
    );
    let third = verdict("PrefixTaken").news(Some(&second), 2, later).unwrap();
    assert_eq!((third.status.as_str(), third.last_transition_time.0), ("False", later));
}
