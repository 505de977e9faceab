//! What is asked, and what becomes of the answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::source::kubelet::usage::fetch::{DEADLINE, Fetcher, Question, there};
use crate::source::kubelet::usage::problem::Problem;

const ALL: &str = "/apis/metrics.k8s.io/v1beta1/pods";
const SHOP: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods";
const BANK: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/bank/pods";

type Asked = Arc<Mutex<Vec<String>>>;

/// A target that answers each path so.
fn target(answers: impl Fn(&str) -> (u16, Value) + Clone + Send + 'static) -> (Client, Asked) {
    let asked = Asked::default();
    let seen = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        seen.lock().push(request.uri().to_string());
        let (code, value) = answers(request.uri().path());
        async move {
            // A target that hangs.
            if code == 0 {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::io::Error>(
                Response::builder()
                    .status(code)
                    .body(Body::from(value.to_string().into_bytes()))
                    .unwrap(),
            )
        }
    });
    (Client::new(service, "default"), asked)
}

fn list(namespace: &str) -> (u16, Value) {
    let pod = json!({
        "metadata": { "namespace": namespace, "name": "web" }, "timestamp": Timestamp::now().to_string(), "window": "15s",
        "containers": [{ "name": "app", "usage": { "cpu": "1", "memory": "1Mi" } }],
    });
    (200, json!({ "items": [pod] }))
}

fn refusal(code: u16) -> (u16, Value) {
    (code, json!({ "kind": "Status", "code": code, "message": "no" }))
}

fn namespaces() -> BTreeSet<String> {
    ["bank".to_owned(), "shop".to_owned()].into()
}

fn everywhere(namespaces: &BTreeSet<String>) -> Question<'_> {
    Question {
        cluster_name: "home",
        namespace: None,
        namespaces,
    }
}

#[tokio::test]
async fn one_list_of_our_own_pods_is_asked_for() {
    let (client, asked) = target(|_| list("shop"));
    let (reading, result) = Fetcher::default().fetch(&client, everywhere(&namespaces())).await;
    assert_eq!(result, Ok(()));
    assert!(reading.get("shop", "web").is_some());
    let ours = "labelSelector=multicluster.admiralty.io%2Fparent-cluster-name%3Dhome";
    assert_eq!(*asked.lock(), [format!("{ALL}?&{ours}")]);
}

#[tokio::test]
async fn a_target_of_one_namespace_is_asked_for_that_one() {
    let (client, asked) = target(|_| list("shop"));
    let namespaces = namespaces();
    let question = Question {
        namespace: Some("shop"),
        ..everywhere(&namespaces)
    };
    assert_eq!(Fetcher::default().fetch(&client, question).await.1, Ok(()));
    assert!(asked.lock().iter().all(|path| path.starts_with(SHOP)));
}

#[tokio::test]
async fn who_may_not_ask_for_all_asks_by_namespace_and_remembers_it() {
    let (client, asked) = target(|path| match path {
        SHOP => list("shop"),
        BANK => list("bank"),
        _ => refusal(403),
    });
    let (fetcher, namespaces) = (Fetcher::default(), namespaces());
    for _ in 0..2 {
        let (reading, result) = fetcher.fetch(&client, everywhere(&namespaces)).await;
        assert_eq!(result, Ok(()));
        assert!(reading.get("shop", "web").is_some() && reading.get("bank", "web").is_some());
    }
    let paths: Vec<_> = asked
        .lock()
        .iter()
        .map(|uri| uri.split('?').next().unwrap().to_owned())
        .collect();
    assert_eq!(paths, [ALL, BANK, SHOP, BANK, SHOP]);
}

#[tokio::test]
async fn what_may_be_read_is_shown_though_another_namespace_may_not() {
    let (client, _) = target(|path| if path == SHOP { list("shop") } else { refusal(403) });
    let (reading, result) = Fetcher::default().fetch(&client, everywhere(&namespaces())).await;
    assert_eq!(result, Err(Problem::Forbidden("no".into())));
    assert!(reading.get("shop", "web").is_some());
}

#[tokio::test]
async fn refusals_have_a_reason() {
    for (code, reason) in [
        (404, "MetricsNotInstalled"),
        (401, "MetricsForbidden"),
        (403, "MetricsForbidden"),
        (503, "MetricsFailing"),
        (302, "MetricsFailing"),
    ] {
        let (client, _) = target(move |_| refusal(code));
        let (_, result) = Fetcher::default().fetch(&client, everywhere(&namespaces())).await;
        assert_eq!(result.unwrap_err().reason(), reason, "{code}");
    }
    let (client, _) = target(|_| (200, json!("no list")));
    let (_, result) = Fetcher::default().fetch(&client, everywhere(&namespaces())).await;
    assert_eq!(result.unwrap_err().reason(), "MetricsFailing");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_is_not_waited_for() {
    let (client, _) = target(|_| (0, json!(null)));
    let began = tokio::time::Instant::now();
    let (_, result) = Fetcher::default().fetch(&client, everywhere(&namespaces())).await;
    assert_eq!(result.unwrap_err().reason(), "MetricsFailing");
    assert!(began.elapsed() < DEADLINE + Duration::from_secs(1));
}

#[test]
fn the_targets_clock_is_believed_within_a_day() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(
        there(Some("Thu, 01 Jan 2026 00:10:00 GMT"), now),
        now + SignedDuration::from_mins(10)
    );
    for odd in [
        None,
        Some(""),
        Some("Thu, 01 Jan 2099 00:10:00 GMT"),
        Some("Thu, 01 Jan 9999999"),
    ] {
        assert_eq!(there(odd, now), now, "{odd:?}");
    }
}
