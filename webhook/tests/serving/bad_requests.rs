//! Bad requests: clear refusals, and the server goes on.

use multicluster_webhook::server::{MAX_CREATE_REVIEW, MAX_UPDATE_REVIEW};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::client::{MUTATE, VALIDATE, Webhook, create, elected, exchange, read_answer, review};

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_and_not_quoted() {
    let webhook = Webhook::start().await;
    let whole = review(create(elected()));
    let with = |field: &str, value: Value| {
        let mut request = create(elected());
        request[field] = value;
        review(request)
    };
    for (body, hint) in [
        (b"".to_vec(), "ends too early"),
        (b"secret".to_vec(), "not JSON"),
        (b"\xff\xfe\x00".to_vec(), "not JSON"),
        (b"[]".to_vec(), "AdmissionReview"),
        (b"{}".to_vec(), "admissionReviewVersions"),
        (b"null".to_vec(), "wrong type"),
        (whole[..whole.len() / 2].to_vec(), "ends too early"),
        ([whole.as_slice(), b"secret"].concat(), "not JSON"),
        ("[".repeat(100_000).into_bytes(), "AdmissionReview"),
        (
            String::from_utf8_lossy(&whole)
                .replace("k8s.io/v1\"", "k8s.io/v1beta1\"")
                .into_bytes(),
            "admissionReviewVersions",
        ),
        (review(json!({})), "is missing"),
        (
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "secret"})
                .to_string()
                .into_bytes(),
            "AdmissionReview",
        ),
        (
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"})
                .to_string()
                .into_bytes(),
            "no request",
        ),
        (review(Value::Null), "no request"),
        (review(json!("secret")), "wrong type"),
        (with("uid", json!("")), "without a uid"),
        (with("uid", Value::Null), "wrong type"),
        (with("kind", json!("secret")), "wrong type"),
    ] {
        for path in [MUTATE, VALIDATE] {
            let answer = webhook.post(path, &body).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(100)]);
            assert_eq!(answer.status, 400, "{shown}: {}", answer.body);
            assert!(
                answer.body.len() < 300 && !answer.body.contains("secret"),
                "{shown}: {}",
                answer.body
            );
            assert!(answer.body.contains(hint), "{shown}: {}", answer.body);
        }
    }
    assert_eq!(webhook.review(MUTATE, create(elected())).await["allowed"], true);
}

#[tokio::test]
async fn reviews_of_the_wrong_thing_are_denied() {
    let webhook = Webhook::start().await;
    let with = |field: &str, value: Value| {
        let mut request = create(elected());
        request[field] = value;
        request
    };
    let service = json!({"group": "", "version": "v1", "kind": "Service"});
    for (path, request, hint) in [
        (MUTATE, with("kind", service.clone()), "correct the rules"),
        (VALIDATE, with("kind", service), "correct the rules"),
        (MUTATE, with("object", Value::Null), "no object"),
        (VALIDATE, with("object", Value::Null), "no object"),
        (VALIDATE, with("operation", json!("UPDATE")), "no object"),
        (MUTATE, with("object", json!("secret")), "cannot be read"),
        (
            MUTATE,
            with("object", json!({"metadata": {"annotations": ["secret"]}})),
            "cannot be read",
        ),
        (
            "/validate-multicluster-admiralty-io-v1alpha1-target",
            create(elected()),
            "correct the rules",
        ),
    ] {
        let response = webhook.review(path, request.clone()).await;
        assert_eq!(response["uid"], "705ab4f5");
        assert_eq!(response["allowed"], false, "{request}");
        assert_eq!(response["status"]["code"], 400);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains(hint) && !message.contains("secret"), "{message}");
    }
}

#[tokio::test]
async fn methods_types_and_paths_are_checked() {
    let webhook = Webhook::start().await;
    let body = review(create(elected()));
    for (method, path, content_type, status) in [
        ("GET", MUTATE, "application/json", 405),
        ("PUT", MUTATE, "application/json", 405),
        ("POST", MUTATE, "text/plain", 415),
        ("POST", MUTATE, "application/yaml", 415),
        ("POST", MUTATE, "", 415),
        ("POST", "/", "application/json", 404),
        ("POST", "/mutate-v1-pod/", "application/json", 404),
    ] {
        let header = format!("content-type: {content_type}");
        let answer = exchange(&mut webhook.connect().await, method, path, &[&header], &body).await;
        assert_eq!(answer.status, status, "{method} {path} {content_type}: {}", answer.body);
        assert!(!answer.body.is_empty());
    }
    let answer = exchange(&mut webhook.connect().await, "POST", MUTATE, &[], &body).await;
    assert_eq!(answer.status, 415, "without a content type");
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let webhook = Webhook::start().await;
    for (path, limit) in [(MUTATE, MAX_CREATE_REVIEW), (VALIDATE, MAX_UPDATE_REVIEW)] {
        let mut body = review(create(elected()));
        body.resize(limit, b' ');
        assert_eq!(webhook.post(path, &body).await.status, 200, "{path}");
        // The length is announced; the body itself is not waited for.
        let mut stream = webhook.connect().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            limit + 1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.status, 413, "{path}");
    }
}

#[tokio::test]
async fn a_body_without_announced_length_has_the_same_limit() {
    let webhook = Webhook::start().await;
    let mut stream = webhook.connect().await;
    let head = format!(
        "POST {MUTATE} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..4 {
        let written = async {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
            stream.write_all(&chunk).await?;
            stream.write_all(b"\r\n").await
        };
        if written.await.is_err() {
            break;
        }
    }
    assert_eq!(read_answer(&mut stream).await.status, 413);
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_harms_nobody() {
    let webhook = Webhook::start().await;
    for _ in 0..10 {
        let mut stream = webhook.connect().await;
        let head = format!(
            "POST {MUTATE} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
    }
    assert_eq!(webhook.review(MUTATE, create(elected())).await["allowed"], true);
}
