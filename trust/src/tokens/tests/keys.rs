//! Which keys serve.

use serde_json::{Value, json};

use super::*;

#[test]
fn key_sets_leave_out_what_does_not_serve() {
    let mut rsa = Key::of("RS256").jwk("short");
    rsa["n"] = encode([1; 128]).into();
    let changed = |changes: Value| {
        let mut jwk = KEY.jwk("k1");
        jwk.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        jwk
    };
    let nothing = [
        json!([]),
        json!([1, null, "a", [], {}]),
        json!([rsa]),
        json!([changed(json!({"use": "enc"}))]),
        json!([changed(json!({"key_ops": ["sign"]}))]),
        json!([changed(json!({"alg": "RS256"}))]),
        json!([changed(json!({"alg": "HS256"}))]),
        json!([changed(json!({"alg": "none"}))]),
        json!([changed(json!({"crv": "P-384"}))]),
        json!([changed(json!({"crv": "P-521"}))]),
        json!([changed(json!({"x": "AA"}))]),
        json!([changed(json!({"x": "+/"}))]),
        json!([changed(json!({"kid": ""}))]),
        json!([changed(json!({"kid": null}))]),
        json!([changed(json!({"kty": "RSA"}))]),
        json!([changed(json!({"kty": "new"}))]),
    ];
    for keys in nothing {
        let text = KeySet::parse(json!({"keys": keys}).to_string().as_bytes())
            .unwrap_err()
            .to_string();
        assert!(text.contains("none of its keys serves"), "{keys}: {text}");
        let with_one = [keys.as_array().unwrap().clone(), vec![KEY.jwk("good")]].concat();
        assert_eq!(key_set(&with_one).ids().collect::<Vec<_>>(), ["good"]);
    }
}

#[test]
fn key_sets_with_secrets_and_what_is_none_are_refused_unquoted() {
    let private = json!({"keys": [{"kty": "EC", "kid": "k1", "d": "s3cret"}]}).to_string();
    let shared = json!({"keys": [{"kty": "oct", "kid": "k1", "k": "s3cret"}]}).to_string();
    for (text, hint) in [
        (private.as_str(), "private or shared"),
        (&shared, "private or shared"),
        ("", "openid/v1/jwks"),
        ("s3cret", "openid/v1/jwks"),
        ("[]", "openid/v1/jwks"),
        ("{\"keys\": {\"s3cret\": 1}}", "openid/v1/jwks"),
        (&"[".repeat(10_000), "openid/v1/jwks"),
        (&" ".repeat(300 * 1024), "longer than"),
    ] {
        let error = KeySet::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(hint) && !error.contains("s3cret"), "{error}");
    }
}
