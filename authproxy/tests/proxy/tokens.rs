//! Callers with tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Request;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

use crate::client::{Body, Client, get, status, with};
use crate::world::{AUDIENCE, ISSUER, World};

struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn new() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    fn jwks(&self) -> String {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"keys": [{"kty": "EC", "kid": "one", "use": "sig", "alg": "ES256", "crv": "P-256", "x": x, "y": y}]})
            .to_string()
    }

    /// A token of the ServiceAccount default/default, good for so many seconds.
    fn token(&self, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let header = json!({"alg": "ES256", "kid": "one", "typ": "JWT"});
        let claims = json!({
            "iss": ISSUER,
            "aud": [AUDIENCE],
            "sub": "system:serviceaccount:default:default",
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn bearing(token: &str) -> Request<Body> {
    with(get("/version"), "authorization", &format!("Bearer {token}"))
}

#[tokio::test]
async fn a_token_is_as_good_as_a_certificate() {
    let world = World::new().await;
    let issuer = Issuer::new();
    world.trust(vec![world.issuer(issuer.jwks())]).await;
    let mut client = Client::http2(&world, None).await;
    let token = issuer.token(600);
    for _ in 0..3 {
        assert_eq!(client.send(bearing(&token)).await.unwrap().status(), 200);
    }
    let asked = world.api.asked().pop().unwrap();
    assert_eq!(asked.headers["impersonate-user"], "tokens:ns/default/id/default");
    assert!(!asked.headers.contains_key("authorization"), "the token stays here");
}

#[tokio::test]
async fn bad_tokens_are_nobodys_and_not_told_again() {
    let world = World::new().await;
    let (issuer, other) = (Issuer::new(), Issuer::new());
    world.trust(vec![world.issuer(issuer.jwks())]).await;
    let mut client = Client::http1(&world, None).await;
    let tampered = issuer.token(600).replacen('.', ".A", 1);
    for token in [&other.token(600), &issuer.token(-60), &tampered, "x", "a.b.c"] {
        let (code, body) = status(client.send(bearing(token)).await.unwrap()).await;
        assert_eq!(code, 401);
        assert!(token.len() < 6 || !body.to_string().contains(token));
    }
    for header in ["Basic YTpi", "Bearer", "Bearer ", "x"] {
        let request = with(get("/version"), "authorization", header);
        assert_eq!(status(client.send(request).await.unwrap()).await.0, 401, "{header}");
    }
    let request = with(bearing(&issuer.token(600)), "authorization", "Bearer other");
    assert_eq!(status(client.send(request).await.unwrap()).await.0, 401);
    assert!(world.api.asked().is_empty());
}

#[tokio::test]
async fn a_certificate_and_a_token_are_one_too_many() {
    let world = World::new().await;
    let issuer = Issuer::new();
    world.trust(vec![world.provider(), world.issuer(issuer.jwks())]).await;
    let mut client = Client::http2(&world, Some(&world.identity())).await;
    let (code, body) = status(client.send(bearing(&issuer.token(600))).await.unwrap()).await;
    assert_eq!(code, 401);
    assert_eq!(
        body["message"],
        "a client certificate and a bearer token: show one of them"
    );
    // A certificate that nobody here believes says nothing.
    let stranger = multicluster_certs::dev::DevCa::new().unwrap().client("me").unwrap();
    let mut client = Client::http2(&world, Some(&stranger)).await;
    assert_eq!(client.send(bearing(&issuer.token(600))).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_is_remembered_only_as_long_as_its_issuer_is_trusted() {
    let world = World::new().await;
    let issuer = Issuer::new();
    world.trust(vec![world.issuer(issuer.jwks())]).await;
    let mut client = Client::http2(&world, None).await;
    let token = issuer.token(600);
    assert_eq!(client.send(bearing(&token)).await.unwrap().status(), 200);
    world.trust(vec![world.issuer(Issuer::new().jwks())]).await;
    assert_eq!(client.send(bearing(&token)).await.unwrap().status(), 401);
    world.trust(vec![]).await;
    assert_eq!(client.send(bearing(&token)).await.unwrap().status(), 401);
    let events = world.events();
    assert!(
        events
            .iter()
            .any(|(_, note)| note.contains("tokens:ns/default/id/default")),
        "{events:?}"
    );
}
