//! Good reviews.

use multicluster_api::names;
use serde_json::{Value, json};

use crate::client::{MUTATE, VALIDATE, Webhook, create, elected, exchange, review};

fn plain() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"containers": []}})
}

#[tokio::test]
async fn an_elected_pod_is_patched_into_a_proxy_pod() {
    let webhook = Webhook::start().await;
    let response = webhook.review(MUTATE, create(elected())).await;
    assert_eq!(response["uid"], "705ab4f5");
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = base64_decode(response["patch"].as_str().unwrap());
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut pod = elected();
    json_patch::patch(&mut pod, &patch).unwrap();
    assert_eq!(pod["spec"]["schedulerName"], names::PROXY_SCHEDULER);

    let again = webhook.review(MUTATE, create(pod.clone())).await;
    assert_eq!(again, json!({"uid": "705ab4f5", "allowed": true}));
    let validated = webhook.review(VALIDATE, create(pod)).await;
    assert_eq!(validated["allowed"], true);
}

fn base64_decode(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[tokio::test]
async fn what_is_not_asked_about_is_allowed_without_a_patch() {
    let webhook = Webhook::start().await;
    let changed = |field: &str, value: Value| {
        let mut request = create(elected());
        request[field] = value;
        request
    };
    let mut binding = changed("kind", json!({"group": "", "version": "v1", "kind": "Binding"}));
    binding["subResource"] = json!("binding");
    for (path, request) in [
        (MUTATE, create(plain())),
        (MUTATE, changed("operation", json!("UPDATE"))),
        (MUTATE, changed("operation", json!("DELETE"))),
        (MUTATE, changed("subResource", json!("ephemeralcontainers"))),
        (MUTATE, binding),
        (VALIDATE, create(plain())),
        (VALIDATE, changed("operation", json!("DELETE"))),
        (VALIDATE, changed("subResource", json!("status"))),
    ] {
        let response = webhook.review(path, request.clone()).await;
        assert_eq!(response, json!({"uid": "705ab4f5", "allowed": true}), "{request}");
    }
}

#[tokio::test]
async fn a_dry_run_is_like_any_other() {
    let webhook = Webhook::start().await;
    let mut request = create(elected());
    request["dryRun"] = json!(true);
    assert!(webhook.review(MUTATE, request).await["patch"].is_string());
}

#[tokio::test]
async fn every_path_judges_its_kind() {
    let webhook = Webhook::start().await;
    for kind in ["Target", "ClusterTarget", "Source", "ClusterSource"] {
        let path = format!(
            "/validate-multicluster-admiralty-io-v1alpha1-{}",
            kind.to_ascii_lowercase()
        );
        let mut request = create(json!({"metadata": {"name": "a"}, "spec": {}}));
        request["kind"] = json!({"group": names::GROUP, "version": names::VERSION, "kind": kind});
        let response = webhook.review(&path, request.clone()).await;
        assert_eq!(response["allowed"], false, "{kind}");
        assert_eq!(response["status"]["code"], 422);
        assert!(
            response["status"]["message"].as_str().unwrap().contains("write either"),
            "{kind}"
        );
        request["object"]["spec"] = match kind {
            "Target" | "ClusterTarget" => json!({"self": true}),
            _ => json!({"userName": "alice"}),
        };
        assert_eq!(webhook.review(&path, request).await["allowed"], true, "{kind}");
    }
}

#[tokio::test]
async fn one_connection_serves_many_reviews() {
    let webhook = Webhook::start().await;
    let mut stream = webhook.connect().await;
    let body = review(create(elected()));
    for _ in 0..100 {
        let headers = ["Content-Type: application/json; charset=utf-8"];
        let answer = exchange(&mut stream, "POST", &format!("{MUTATE}?timeout=10s"), &headers, &body).await;
        assert_eq!(answer.response()["allowed"], true);
    }
}
