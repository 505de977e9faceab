use multicluster_certs::dev::DevCa;
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;

fn by_token(claims: &Value) -> AuthInfo {
    let payload = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
    with_token(&format!("e30.{payload}.c2ln"))
}

fn with_token(token: &str) -> AuthInfo {
    AuthInfo {
        token: Some(SecretString::from(token)),
        ..Default::default()
    }
}

fn by_certificate(ca: &DevCa, name: &str) -> AuthInfo {
    AuthInfo {
        client_certificate_data: Some(BASE64_STANDARD.encode(ca.client(name).unwrap().cert)),
        ..Default::default()
    }
}

fn same(a: &AuthInfo, b: &AuthInfo) -> bool {
    user(a).is_some() && user(a) == user(b)
}

#[test]
fn certificates_of_one_name_and_authority_are_one_user() {
    let ca = DevCa::new().unwrap();
    let [a, again, b] = ["a", "a", "b"].map(|name| by_certificate(&ca, name));
    assert_ne!(a.client_certificate_data, again.client_certificate_data);
    assert!(same(&a, &again));
    assert!(!same(&a, &b));
}

#[test]
fn tokens_of_one_issuer_subject_and_audience_are_one_user() {
    let claims = json!({ "iss": "https://issuer", "sub": "system:serviceaccount:a:b", "aud": ["c"], "exp": 1 });
    let with = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        by_token(&claims)
    };
    let token = by_token(&claims);
    for (other, expected) in [
        (with("exp", json!(2)), true),
        (with("aud", json!("c")), true),
        (with("iss", json!("https://other")), false),
        (with("sub", json!("system:serviceaccount:a:c")), false),
        (with("aud", json!(["d"])), false),
        (with("aud", Value::Null), false),
        (with("sub", Value::Null), false),
    ] {
        assert_eq!(same(&token, &other), expected);
    }
}

#[test]
fn of_anything_else_only_the_target_can_tell_whose_it_is() {
    let (ca, token) = (DevCa::new().unwrap(), by_token(&json!({ "iss": "a", "sub": "b" })));
    assert!(user(&token).is_some());
    let impersonating = AuthInfo {
        impersonate: Some("c".into()),
        ..token.clone()
    };
    let both = AuthInfo {
        token: token.token.clone(),
        ..by_certificate(&ca, "a")
    };
    let basic = AuthInfo {
        username: Some("a".into()),
        password: Some(SecretString::from("b")),
        ..Default::default()
    };
    let broken = AuthInfo {
        client_certificate_data: Some("bm90IGEgY2VydGlmaWNhdGU=".into()),
        ..Default::default()
    };
    let others = [
        impersonating,
        both,
        basic,
        broken,
        AuthInfo::default(),
        with_token("opaque"),
    ];
    assert!(others.iter().all(|other| user(other).is_none()));
}

proptest! {
    #[test]
    fn no_text_panics_and_none_is_shown(text in "\\PC{0,100}", dots in "[a-zA-Z0-9_.-]{0,100}") {
        for text in [text, dots] {
            let shown = format!("{:?}", user(&with_token(&text)));
            prop_assert!(["None", "Some(Token)"].contains(&shown.as_str()));
            let certificate = AuthInfo { client_certificate_data: Some(text), ..Default::default() };
            prop_assert_eq!(user(&certificate), None);
        }
    }
}
