//! Who is let in, and for how long.

use std::sync::Arc;

use multicluster_api::{Source, TrustedIdentityProvider, TrustedIdentityProviderSpec};

use super::*;
use crate::testing::authority::Authority;
use crate::testing::issuer::{AUDIENCE, Key, claims, header, key_set};
use crate::testing::{at, believing, believing_tokens, provider, source, trust};
use crate::{certificates, tokens};

mod properties;

const USER: &str = "m:ns/team-a/id/default";

fn spec(authority: &Authority) -> TrustedIdentityProviderSpec {
    TrustedIdentityProviderSpec {
        groups: vec!["viewers".into(), "editors".into()],
        ..believing("m:", authority)
    }
}

fn of(spec: TrustedIdentityProviderSpec) -> [TrustedIdentityProvider; 1] {
    [provider("default/m", 0, spec)]
}

fn named() -> [Source; 1] {
    [source("default", USER)]
}

/// Somebody with a certificate, in the groups `viewers` and `unknown`.
fn by_certificate(trust: &Trust, authority: &Authority) -> Result<Caller, Denied> {
    let leaf = authority.sign_with("ns/team-a/id/default", |params| {
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "viewers");
        params
            .distinguished_name
            .push(rcgen::DnType::CustomDnType(vec![2, 5, 4, 10]), "unknown");
    });
    trust.admit(&certificates::prove(trust, &[leaf], at(0))?)
}

/// The same with a token.
fn by_token(trust: &Trust) -> Result<Caller, Denied> {
    let key = Key::of("ES256");
    let keys = key_set(&[key.jwk("k1")]);
    let token = key.sign(&header("ES256"), &claims());
    trust.admit(&tokens::prove(trust, &|_| Some(Arc::clone(&keys)), &token, at(0))?)
}

#[test]
fn both_proofs_make_the_same_user() {
    let ours = Authority::new("ours");
    let certificates = by_certificate(&trust(&of(spec(&ours)), &named()), &ours).unwrap();
    assert_eq!(
        (certificates.user.as_str(), &certificates.groups[..]),
        (USER, &["m:viewers".to_owned()][..])
    );
    let tokens = by_token(&trust(&of(believing_tokens("m:", &[AUDIENCE])), &named())).unwrap();
    assert_eq!((tokens.user.as_str(), tokens.groups.len()), (USER, 0));
}

#[test]
fn whom_no_source_names_is_known_and_not_let_in() {
    let ours = Authority::new("ours");
    let denied = by_certificate(&trust(&of(spec(&ours)), &[]), &ours).unwrap_err();
    assert_eq!((denied.status(), denied.reason()), (403, "NotAdmitted"));
    assert!(denied.to_string().starts_with(USER), "{denied}");
}

#[test]
fn what_leaves_a_callers_own_proof_alone_cuts_nobody_off() {
    let (ours, new) = (Authority::new("ours"), Authority::new("new"));
    let before = trust(&of(spec(&ours)), &named());
    let caller = by_certificate(&before, &ours).unwrap();
    let mut rotating = spec(&ours);
    let pem = ours.pem() + &new.pem();
    rotating.certificate_authority_data = Some(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem));
    let more = TrustedIdentityProviderSpec {
        groups: vec!["viewers".into()],
        identities: vec!["ns/other/id/other".into()],
        ..spec(&ours)
    };
    for spec in [spec(&ours), rotating, more] {
        assert!(trust(&of(spec), &named()).still_admits(&caller));
    }

    let caller = by_token(&trust(&of(believing_tokens("m:", &[AUDIENCE])), &named())).unwrap();
    let wider = believing_tokens("m:", &["new", AUDIENCE]);
    assert!(trust(&of(wider), &named()).still_admits(&caller));
}

#[test]
fn what_takes_a_proof_away_cuts_off() {
    let (ours, new) = (Authority::new("ours"), Authority::new("new"));
    let before = trust(&of(spec(&ours)), &named());
    let caller = by_certificate(&before, &ours).unwrap();
    let again = {
        let [mut object] = of(spec(&ours));
        object.metadata.uid = Some("made again".into());
        [object]
    };
    let without_group = TrustedIdentityProviderSpec {
        groups: vec![],
        ..spec(&ours)
    };
    let other_prefix = TrustedIdentityProviderSpec {
        prefix: "n:".into(),
        identities: vec!["ns/team-a/id/default".into()],
        ..spec(&ours)
    };
    for (what, now) in [
        ("the provider is gone", trust(&[], &named())),
        ("it is another one of the same name", trust(&again, &named())),
        ("the source is gone", trust(&of(spec(&ours)), &[])),
        ("a group is gone", trust(&of(without_group), &named())),
        ("the prefix is another", trust(&of(other_prefix), &named())),
        ("the authority is another", trust(&of(spec(&new)), &named())),
        (
            "it takes tokens",
            trust(&of(believing_tokens("m:", &[AUDIENCE])), &named()),
        ),
        (
            "it makes no sense any more",
            trust(&of(TrustedIdentityProviderSpec::default()), &named()),
        ),
    ] {
        assert!(!now.still_admits(&caller), "{what}");
    }
}

#[test]
fn a_token_goes_with_its_audience_its_issuer_and_the_origin_of_its_key() {
    let oidc = |change: fn(&mut multicluster_api::trusted_identity_provider::OpenIdConnect)| {
        let mut spec = believing_tokens("m:", &[AUDIENCE]);
        change(spec.oidc.as_mut().unwrap());
        trust(&of(spec), &named())
    };
    let caller = by_token(&oidc(|_| {})).unwrap();
    assert!(oidc(|_| {}).still_admits(&caller));
    for now in [
        oidc(|oidc| oidc.audiences = vec!["another".into()]),
        oidc(|oidc| oidc.issuer += "/"),
        oidc(|oidc| oidc.discovery_url = Some("https://elsewhere.example.com".into())),
        oidc(|oidc| oidc.jwks = Some(serde_json::json!({"keys": [Key::of("EdDSA").jwk("k")]}).to_string())),
    ] {
        assert!(now.trusted().next().is_some() && !now.still_admits(&caller));
    }
}

#[test]
fn what_was_proved_before_the_trust_changed_is_not_let_in_by_it() {
    let (ours, new) = (Authority::new("ours"), Authority::new("new"));
    let before = trust(&of(spec(&ours)), &named());
    let proven = certificates::prove(&before, &[ours.sign("ns/team-a/id/default")], at(0)).unwrap();
    let denied = trust(&of(spec(&new)), &named()).admit(&proven).unwrap_err();
    assert_eq!((denied.status(), denied.reason()), (401, "Unproven"));
}

#[test]
fn who_is_proved_again_keeps_what_is_open_as_the_same_user_with_the_same_groups() {
    let ours = Authority::new("ours");
    let renewed = ours.again(|params| params.serial_number = Some(7.into()));
    let old = by_certificate(&trust(&of(spec(&ours)), &named()), &ours).unwrap();
    let now = trust(&of(spec(&renewed)), &named());
    assert!(!now.still_admits(&old));
    let new = by_certificate(&now, &ours).unwrap();
    assert!(new.covers(&old));
    let fewer = Caller {
        groups: vec![],
        ..new.clone()
    };
    let other = Caller {
        user: "m:ns/a/id/b".into(),
        ..new
    };
    assert!(!fewer.covers(&old) && !other.covers(&old) && old.covers(&fewer));
}
