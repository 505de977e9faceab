//! Which tokens prove who somebody is.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::testing::authority::Authority;
use crate::testing::issuer::{AUDIENCE, ISSUER, Key, claims, claims_with, encode, header, key_set};
use crate::testing::{NOW, at, believing, believing_tokens, provider, trust};

mod keys;
mod properties;

static KEY: LazyLock<Key> = LazyLock::new(|| Key::of("ES256"));
static KEYS: LazyLock<Arc<KeySet>> = LazyLock::new(|| {
    let other = Key::of("ES256").jwk("other");
    key_set(&[
        other,
        KEY.jwk("k1"),
        Key::of("RS256").jwk("rsa"),
        Key::of("EdDSA").jwk("ed"),
    ])
});

fn believed() -> Trust {
    let authority = Authority::new("ours");
    let objects = [
        provider(
            "default/management",
            0,
            believing_tokens("spiffe://management/", &[AUDIENCE, "another"]),
        ),
        provider("default/apart", 0, believing_tokens("apart:", &["apart"])),
        provider("default/certificates", 0, believing("certificates:", &authority)),
    ];
    trust(&objects, &[])
}

fn proven(token: &str) -> Result<Proven, Denied> {
    prove(&believed(), &|_| Some(KEYS.clone()), token, at(0))
}

fn denied(token: &str) -> String {
    let denied = proven(token).unwrap_err();
    assert_eq!(denied.status(), 401);
    denied.to_string()
}

fn good() -> String {
    KEY.sign(&header("ES256"), &claims())
}

#[test]
fn a_token_of_a_service_account_proves_it() {
    let proven = proven(&good()).unwrap();
    assert_eq!(proven.identity.to_string(), "ns/team-a/id/default");
    assert_eq!(proven.provider.name, "management");
    assert!(proven.groups.is_empty());
    assert_eq!(proven.expires, at(3600) + LEEWAY);
    let audiences = ["multicluster.admiralty.io/target.example.com:443".to_owned()].into();
    let keys = crate::caller::KeyOrigin::Discovery(format!("{ISSUER}/.well-known/openid-configuration"));
    let issuer = ISSUER.to_owned();
    assert_eq!(
        proven.evidence,
        Evidence::Issuer {
            issuer,
            audiences,
            keys
        }
    );
}

#[test]
fn all_algorithms_of_asymmetric_keys_serve() {
    for algorithm in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
    ] {
        let key = Key::of(algorithm);
        let mut jwk = key.jwk("k1");
        if jwk["kty"] == "RSA" {
            jwk["alg"] = algorithm.into();
        }
        let keys = key_set(&[jwk]);
        let prove = |token: &str| prove(&believed(), &|_| Some(keys.clone()), token, at(0));
        let token = key.sign(&header(algorithm), &claims());
        assert!(prove(&token).is_ok(), "{algorithm}");
        let forged = Key::of(if algorithm == "ES384" { "ES384" } else { "ES256" }).sign(&header(algorithm), &claims());
        assert!(
            prove(&forged).unwrap_err().to_string().contains("signature"),
            "{algorithm}"
        );
    }
}

#[test]
fn claims_that_kubernetes_does_not_write_are_taken_where_they_are_right() {
    for changes in [
        json!({"aud": AUDIENCE}),
        json!({"aud": ["x", AUDIENCE]}),
        json!({"nbf": null, "iat": null}),
        json!({"exp": 1_781_481_600.5}),
        json!({"exp": 253_402_300_799_u64}),
        json!({"groups": "viewers"}),
        json!({"groups": ["viewers", 1]}),
        json!({"email": ["a"]}),
    ] {
        let token = KEY.sign(&header("ES256"), &claims_with(changes.clone()));
        assert_eq!(proven(&token).map(|proven| proven.groups), Ok(vec![]), "{changes}");
    }
    let token = KEY.sign(
        &header("ES256"),
        &claims_with(json!({"groups": ["viewers", "system:masters"]})),
    );
    assert_eq!(proven(&token).unwrap().groups, ["viewers", "system:masters"]);
}

#[test]
fn clocks_may_be_a_little_apart_and_no_more() {
    let now = NOW.as_secs();
    for (changes, hint) in [
        (json!({"exp": now - 29}), None),
        (json!({"exp": now - 30}), Some("expired")),
        (json!({"exp": 0}), Some("expired")),
        (json!({"nbf": now + 30}), None),
        (json!({"nbf": now + 31}), Some("not valid yet")),
        (json!({"iat": now + 30}), None),
        (json!({"iat": now + 31}), Some("not valid yet")),
    ] {
        let result = proven(&KEY.sign(&header("ES256"), &claims_with(changes.clone())));
        match hint {
            None => assert!(result.is_ok(), "{changes}"),
            Some(hint) => assert!(result.unwrap_err().to_string().contains(hint), "{changes}"),
        }
    }
}

#[test]
fn claims_that_are_wrong_are_refused_although_they_are_signed() {
    let types = "claims cannot be read";
    for (changes, hint) in [
        (json!({"iss": "https://evil.example.com"}), "nobody here trusts"),
        (json!({"iss": format!("{ISSUER}/")}), "nobody here trusts"),
        (json!({"iss": ISSUER.to_uppercase()}), "nobody here trusts"),
        (json!({"iss": null}), types),
        (json!({"iss": [ISSUER]}), types),
        (json!({"aud": "https://kubernetes.default.svc"}), "another audience"),
        (json!({"aud": []}), "another audience"),
        (json!({"aud": ""}), "another audience"),
        (json!({"aud": format!("{AUDIENCE}0")}), "another audience"),
        (json!({"aud": [AUDIENCE, "apart"]}), "believed apart"),
        (json!({"aud": null}), types),
        (json!({"aud": {"a": AUDIENCE}}), types),
        (json!({"aud": [AUDIENCE, 1]}), types),
        (json!({"exp": null}), types),
        (json!({"exp": "9999999999"}), types),
        (json!({"exp": [9_999_999_999_u64]}), types),
        (json!({"exp": true}), types),
        (json!({"exp": -1}), types),
        (json!({"exp": 1e300}), types),
        (json!({"exp": u64::MAX}), types),
        (json!({"nbf": "0"}), types),
        (json!({"nbf": {}}), types),
        (json!({"iat": "0"}), types),
        (json!({"sub": null}), types),
        (json!({"sub": 1}), types),
        (json!({"sub": "system:admin"}), "not of a ServiceAccount"),
        (json!({"sub": "ns/default/id/default"}), "not of a ServiceAccount"),
        (json!({"sub": "system:serviceaccount:a"}), "not of a ServiceAccount"),
        (json!({"sub": "system:serviceaccount:a:b:c"}), "not of a ServiceAccount"),
        (json!({"sub": "system:serviceaccount:..:b"}), "not of a ServiceAccount"),
        (json!({"sub": "system:serviceaccount:a/b:c"}), "not of a ServiceAccount"),
        (json!({"sub": "system:node:a"}), "not of a ServiceAccount"),
    ] {
        let text = denied(&KEY.sign(&header("ES256"), &claims_with(changes.clone())));
        assert!(text.contains(hint), "{changes}: {text}");
    }
}

/// A token of this JSON, signed as it is.
fn raw(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    format!("{message}.{}", encode(KEY.signature("ES256", &message)))
}

#[test]
fn null_times_two_of_a_claim_and_other_things_than_objects_are_refused() {
    let header = header("ES256").to_string();
    let text = claims().to_string();
    let with = |more: &str| text.replacen('{', &format!("{{{more},"), 1);
    for claims in [
        with("\"exp\": 9999999999"),
        with("\"sub\": \"system:serviceaccount:kube-system:admin\""),
        with("\"iss\": \"https://evil.example.com\""),
        claims_with(json!({"nbf": null}))
            .to_string()
            .replacen('{', "{\"nbf\":null,", 1),
        claims_with(json!({"exp": null}))
            .to_string()
            .replacen('{', "{\"exp\":null,", 1),
        format!("[\"{ISSUER}\",\"system:serviceaccount:a:b\",\"{AUDIENCE}\",9999999999,0,0,[]]"),
        "null".into(),
        String::new(),
        "[".repeat(5000),
    ] {
        let text = denied(&raw(&header, &claims));
        assert!(
            text.contains("claims cannot be read") && text.len() < 200,
            "{claims}: {text}"
        );
    }
    assert!(proven(&raw(&header, &text)).is_ok());
    let twice = r#"{"alg":"none","alg":"ES256","kid":"k1"}"#;
    assert!(denied(&raw(twice, &text)).contains("signed JWT"));
}

#[test]
fn no_algorithm_and_shared_secrets_are_refused_before_anything_else() {
    let unsigned = |algorithm: &str| {
        let header = json!({"alg": algorithm, "kid": "k1"});
        format!("{}.{}.", encode(header.to_string()), encode(claims().to_string()))
    };
    for algorithm in ["none", "None", "NONE", "", "es256", "RS1", "ES256K", "ES512"] {
        let text = prove(&Trust::default(), &|_| unreachable!(), &unsigned(algorithm), at(0))
            .unwrap_err()
            .to_string();
        assert!(text.contains("signed JWT"), "{algorithm}: {text}");
    }
    for algorithm in ["HS256", "HS384", "HS512"] {
        let text = prove(&Trust::default(), &|_| unreachable!(), &unsigned(algorithm), at(0))
            .unwrap_err()
            .to_string();
        assert!(text.contains("shared secret"), "{algorithm}: {text}");
    }
    // Signed by the public key as if it were a secret.
    let point = KEY.jwk("k1")["x"].as_str().unwrap().to_owned();
    let message = format!(
        "{}.{}",
        encode(json!({"alg": "HS256", "kid": "k1"}).to_string()),
        encode(claims().to_string())
    );
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, point.as_bytes());
    let forged = format!("{message}.{}", encode(ring::hmac::sign(&secret, message.as_bytes())));
    assert!(denied(&forged).contains("shared secret"));
}

#[test]
fn a_key_serves_for_its_own_algorithm_alone() {
    for (kid, algorithm) in [
        ("rsa", "ES256"),
        ("k1", "RS256"),
        ("k1", "ES384"),
        ("k1", "EdDSA"),
        ("ed", "ES256"),
        ("rsa", "PS256"),
    ] {
        let token = KEY.sign(&json!({"alg": algorithm, "kid": kid}), &claims());
        assert!(
            denied(&token).contains("algorithm is not one of its key"),
            "{kid} {algorithm}"
        );
    }
}

#[test]
fn the_key_must_be_named_and_be_its_issuers() {
    let es = |mut header: Value| {
        header["alg"] = "ES256".into();
        KEY.sign(&header, &claims())
    };
    assert!(denied(&es(json!({}))).contains("does not name its key"));
    assert!(denied(&es(json!({"kid": null}))).contains("does not name its key"));
    assert!(denied(&es(json!({"kid": 1}))).contains("signed JWT"));
    assert!(denied(&es(json!({"kid": "other"}))).contains("signature"));
    assert!(
        matches!(proven(&es(json!({"kid": "k2"}))), Err(Denied::UnknownKey(provider)) if provider.name == "management")
    );
    assert!(matches!(proven(&es(json!({"kid": ""}))), Err(Denied::UnknownKey(_))));
    assert!(denied(&es(json!({"kid": "k1", "crit": ["exp"], "exp": 1}))).contains("critical"));
    assert!(denied(&es(json!({"kid": "k1", "crit": []}))).contains("critical"));
    let only = key_set(&[KEY.jwk("k1")]);
    let token = es(json!({}));
    assert!(prove(&believed(), &|_| Some(only.clone()), &token, at(0)).is_err());
    let text = prove(&believed(), &|_| None, &good(), at(0)).unwrap_err().to_string();
    assert!(text.contains("not known here yet"), "{text}");
}

#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    let own = Key::of("ES256");
    for more in [
        json!({"jwk": own.jwk("k1")}),
        json!({"jku": "https://evil.example.com/keys"}),
        json!({"x5u": "https://evil.example.com/chain"}),
        json!({"x5c": ["AAAA"]}),
    ] {
        let mut header = header("ES256");
        header
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert!(denied(&own.sign(&header, &claims())).contains("signature"), "{more}");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let good = good();
    let parts: Vec<_> = good.split('.').collect();
    let joined = |parts: &[&str]| parts.join(".");
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b.c".into(),
        format!("Bearer {good}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}="),
        format!("{good}.x"),
        joined(&parts[..2]),
        joined(&[parts[0], parts[1], ""]),
        joined(&[parts[0], parts[1], &encode([0; 64])]),
        joined(&[
            parts[0],
            &encode(claims_with(json!({"exp": 9_999_999_999_u64})).to_string()),
            parts[2],
        ]),
        joined(&[
            &encode(json!({"alg": "ES256", "kid": "other"}).to_string()),
            parts[1],
            parts[2],
        ]),
        "ä.ö.ü".into(),
    ] {
        assert!(proven(&token).is_err(), "{token}");
    }
    assert!(denied(&"a".repeat(MAX_TOKEN + 1)).contains("too long"));
}

#[test]
fn the_audience_chooses_among_providers_of_one_issuer() {
    let token = KEY.sign(&header("ES256"), &claims_with(json!({"aud": ["apart", "nobody"]})));
    assert_eq!(proven(&token).unwrap().provider.name, "apart");
}

#[test]
fn what_is_claimed_is_for_logs_and_only_ever_an_identity() {
    let forged = Key::of("EdDSA").sign(&json!({"alg": "EdDSA"}), &claims_with(json!({"exp": 0})));
    assert_eq!(claimed(&forged).unwrap().to_string(), "ns/team-a/id/default");
    assert_eq!(
        claimed(&KEY.sign(&header("ES256"), &claims_with(json!({"sub": "system:admin"})))),
        None
    );
    assert_eq!(claimed("garbage"), None);
}
