use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

const AUDIENCE: &str = "multicluster.admiralty.io/eu";

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn answer(audiences: &[&str], token: &str, expires: &str) -> Value {
    json!({
        "metadata": {}, "spec": { "audiences": audiences },
        "status": { "token": token, "expirationTimestamp": expires },
    })
}

#[test]
fn the_api_server_says_how_long_a_token_lives() {
    let answer = answer(&[AUDIENCE], "s3cret", "2026-06-01T00:10:00Z");
    let credentials = accept(answer, AUDIENCE, now()).unwrap();
    assert_eq!(credentials.expires, "2026-06-01T00:10:00Z".parse().unwrap());
    assert!(!format!("{credentials:?}").contains("s3cret"));
    assert!(matches!(credentials.proof, Proof::Token(token) if token.expose_secret() == "s3cret"));
}

#[test]
fn a_token_for_somebody_else_without_life_or_without_sense_is_refused_and_not_quoted() {
    for answer in [
        answer(
            &[AUDIENCE, "https://kubernetes.default.svc"],
            "s3cret",
            "2026-06-01T01:00:00Z",
        ),
        answer(&[], "s3cret", "2026-06-01T01:00:00Z"),
        answer(&[AUDIENCE], "s3cret", "2026-06-01T00:00:30Z"),
        answer(&[AUDIENCE], "", "2026-06-01T01:00:00Z"),
        answer(&[AUDIENCE], "s3cret", "s3cret"),
        json!({ "status": "s3cret" }),
        json!("s3cret"),
    ] {
        let problem = accept(answer, AUDIENCE, now()).unwrap_err();
        assert_eq!(problem.reason, "UnusableCredentials");
        assert!(!problem.message.contains("s3cret"), "{problem:?}");
    }
}
