//! What a TrustedIdentityProvider may say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use super::*;
use crate::testing::authority::Authority;
use crate::testing::issuer::{AUDIENCE, ISSUER, Key};
use crate::testing::{believing, believing_tokens, provider};

fn read(spec: TrustedIdentityProviderSpec) -> Result<Provider, InvalidProvider> {
    Provider::read(&provider("default/m", 0, spec))
}

fn with(change: impl FnOnce(&mut OpenIdConnect)) -> TrustedIdentityProviderSpec {
    let mut spec = believing_tokens("m:", &[AUDIENCE]);
    change(spec.oidc.as_mut().unwrap());
    spec
}

fn with_authority(data: String) -> TrustedIdentityProviderSpec {
    TrustedIdentityProviderSpec {
        prefix: "m:".into(),
        certificate_authority_data: Some(data),
        ..Default::default()
    }
}

fn jwks() -> String {
    json!({"keys": [Key::of("ES256").jwk("k1")]}).to_string()
}

#[test]
fn certificates_of_authorities_are_a_proof() {
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let data = STANDARD.encode(format!("# comment\n{}\n{}", one.pem(), two.pem()));
    let read = read(with_authority(data.clone() + "\n")).unwrap();
    assert_eq!(read.proof, Proof::Certificates(vec![one.der(), two.der()]));
    assert_eq!(read.reference.name, "m");
}

#[test]
fn an_issuers_keys_are_fetched_from_its_url_unless_said_otherwise() {
    let source = |spec| match read(spec).unwrap().proof {
        Proof::Tokens(issuer) => (issuer.issuer, issuer.keys),
        Proof::Certificates(_) => unreachable!(),
    };
    let discovery = |url: &str| KeySource::Discovery {
        url: url.into(),
        authorities: vec![],
    };
    let well_known = format!("{ISSUER}/.well-known/openid-configuration");
    assert_eq!(source(with(|_| {})), (ISSUER.into(), discovery(&well_known)));
    let slash = format!("{ISSUER}/");
    assert_eq!(
        source(with(|oidc| oidc.issuer = format!("{ISSUER}/"))),
        (slash, discovery(&well_known))
    );
    let elsewhere = "https://10.0.0.1:6443/.well-known/openid-configuration";
    let (_, found) = source(with(|oidc| oidc.discovery_url = Some(elsewhere.into())));
    assert_eq!(found, discovery(elsewhere));
    let keys = jwks();
    let (_, found) = source(with(|oidc| oidc.jwks = Some(keys.clone())));
    assert_eq!(found, KeySource::Inline(keys.clone()));
    let authority = Authority::new("server");
    let (_, found) = source(with(|oidc| oidc.certificate_authority_data = Some(authority.data())));
    let expected = KeySource::Discovery {
        url: well_known,
        authorities: vec![authority.der()],
    };
    assert_eq!(found, expected);
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_write_and_nothing_is_quoted() {
    let authority = Authority::new("ours");
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["a.b".into()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let pem = |text: &str| with_authority(STANDARD.encode(text));
    let both = TrustedIdentityProviderSpec {
        oidc: with(|_| {}).oidc,
        ..believing("m:", &authority)
    };
    let neither = TrustedIdentityProviderSpec {
        prefix: "m:".into(),
        ..Default::default()
    };
    let issuer = |text: &str| with(|oidc| oidc.issuer = text.into());
    let audience = |text: &str| with(|oidc| oidc.audiences = vec![AUDIENCE.into(), text.into()]);
    let keys = |text: &str| with(|oidc| oidc.jwks = Some(text.into()));
    let identity = |text: &str| TrustedIdentityProviderSpec {
        identities: vec!["ns/a/id/b".into(), text.into()],
        ..believing("m:", &authority)
    };
    let group = |text: &str| TrustedIdentityProviderSpec {
        groups: vec![text.into()],
        ..believing("m:", &authority)
    };
    for (spec, hint) in [
        (both, "not both and not neither"),
        (neither, "not both and not neither"),
        (believing("system:", &authority), "spec.prefix"),
        (
            with_authority("-----BEGIN CERTIFICATE-----".into()),
            "spec.certificateAuthorityData is not base64",
        ),
        (pem("s3cret"), "holds no certificate"),
        (pem(&key.serialize_pem()), "holds a private key"),
        (pem(&(authority.pem() + &key.serialize_pem())), "holds a private key"),
        (
            pem(&leaf.pem()),
            "certificate 1 of spec.certificateAuthorityData is not an authority's",
        ),
        (pem(&(authority.pem() + &leaf.pem())), "certificate 2 of"),
        (pem(&key.public_key_pem()), "something else"),
        (pem(&authority.pem().repeat(17)), "more than 16"),
        (issuer("http://s3cret"), "spec.oidc.issuer"),
        (issuer("https://u:s3cret@a"), "spec.oidc.issuer"),
        (issuer("https://a?s3cret=1"), "query"),
        (issuer("https://a#s3cret"), "fragment"),
        (issuer(""), "https://HOST"),
        (with(|oidc| oidc.audiences.clear()), "spec.oidc.audiences is empty"),
        (audience(""), "spec.oidc.audiences[1]"),
        (audience("a b"), "without spaces"),
        (audience(&"a".repeat(1025)), "spec.oidc.audiences[1]"),
        (audience(ISSUER), "every pod"),
        (audience(&format!("{ISSUER}/")), "every pod"),
        (audience("https://kubernetes.default.svc"), "every pod"),
        (audience("https://kubernetes.default.svc.cluster.local"), "every pod"),
        (keys("s3cret"), "spec.oidc.jwks is not a JSON Web Key Set"),
        (keys("{\"keys\": []}"), "none of its keys serves"),
        (
            keys("{\"keys\": [{\"kty\": \"EC\", \"d\": \"s3cret\"}]}"),
            "private or shared key",
        ),
        (
            with(|oidc| {
                oidc.jwks = Some(jwks());
                oidc.discovery_url = Some("https://a".into());
            }),
            "either spec.oidc.jwks or",
        ),
        (
            with(|oidc| oidc.discovery_url = Some("http://s3cret".into())),
            "spec.oidc.discoveryURL",
        ),
        (
            with(|oidc| oidc.certificate_authority_data = Some("s3cret!".into())),
            "spec.oidc.certificateAuthorityData",
        ),
        (
            identity("s3cret"),
            "spec.identities[1] is not an identity: write ns/NAMESPACE/id/NAME",
        ),
        (identity("m:ns/a/id/b"), "without the prefix"),
        (identity("ns/../id/b"), "spec.identities[1]"),
        (group(""), "spec.groups[0]"),
        (group("s3cret s3cret"), "spec.groups[0]"),
        (group(&"a".repeat(254)), "spec.groups[0]"),
        (group("ä"), "spec.groups[0]"),
        (group("a\n"), "spec.groups[0]"),
    ] {
        let text = read(spec).expect_err(hint).to_string();
        assert!(
            text.contains(hint) && !text.contains("s3cret") && !text.contains("PRIVATE"),
            "{hint}: {text}"
        );
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let spec = TrustedIdentityProviderSpec {
        prefix: String::new(),
        identities: vec!["a".into(), "b".into()],
        groups: vec![String::new()],
        ..with(|oidc| {
            oidc.issuer = "a".into();
            oidc.audiences.clear();
            oidc.discovery_url = Some("a".into());
        })
    };
    assert_eq!(read(spec).unwrap_err().texts().len(), 7);
}

proptest! {
    #[test]
    fn no_prefix_lets_a_name_of_kubernetes_through(prefix in "(system:|SYSTEM:|System|a)?[ -~]{0,12}[:/]?") {
        if let Ok(prefix) = Prefix::parse(&prefix) {
            let user = prefix.user(&Identity::parse("ns/a/id/b").unwrap());
            prop_assert!(user.starts_with(prefix.as_str()) && !user.to_lowercase().starts_with("system:"));
            prop_assert!(!prefix.group("system:masters").to_lowercase().starts_with("system:"));
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}", base64 in "[A-Za-z0-9+/=\n]{0,60}") {
        for data in [&text, &base64] {
            let _ = read(with_authority(data.clone()));
            let _ = read(with(|oidc| {
                oidc.issuer = data.clone();
                oidc.discovery_url = Some(data.clone());
                oidc.jwks = Some(data.clone());
            }));
        }
    }
}
