//! What an administrator sees of it.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::client::{MUTATE, Webhook, create, elected};

#[tokio::test]
async fn requests_are_counted_by_path_result_and_reason() {
    let webhook = Webhook::start().await;
    webhook.review(MUTATE, create(elected())).await;
    webhook.review(MUTATE, create(serde_json::json!({"spec": {}}))).await;
    webhook.post(MUTATE, b"").await;
    let mut broken = elected();
    broken["spec"]["nodeName"] = "a".into();
    webhook.review(MUTATE, create(broken)).await;

    let (mut registry, mut text) = (Registry::default(), String::new());
    webhook.metrics.register(&mut registry);
    encode(&mut text, &registry).unwrap();
    for (result, reason) in [
        ("patched", ""),
        ("allowed", ""),
        ("refused", "BadRequest"),
        ("denied", "Invalid"),
    ] {
        let labels = format!("path=\"/mutate-v1-pod\",result=\"{result}\",reason=\"{reason}\"");
        let line = format!("multicluster_webhook_requests_total{{{labels}}} 1\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    let count = "multicluster_webhook_request_duration_seconds_count{path=\"/mutate-v1-pod\"} 4\n";
    assert!(text.contains(count), "{text}");
}
