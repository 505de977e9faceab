//! What kube-scheduler sends: each node that is asked about gets one answer, and strangers never pass.
#![no_main]

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use libfuzzer_sys::fuzz_target;
use multicluster_api::names;
use multicluster_extender::core::score::ScorePolicy;
use multicluster_extender::handlers::{Extender, router};
use multicluster_extender::index::{Index, Policy};
use multicluster_extender::metrics::Metrics;
use multicluster_extender::synthetic;
use multicluster_fuzz::{Input, proxy_pod};
use serde_json::{Value, json};
use tower::ServiceExt;

const TARGETS: usize = 3;

static ROUTER: LazyLock<axum::Router> = LazyLock::new(|| {
    let day = Duration::from_secs(86_400);
    let (index, _) = Index::new(Policy {
        stale_after: day,
        failure_ttl: day,
        score: ScorePolicy::Spread,
    });
    synthetic::fill(&index, TARGETS, 20);
    router(Extender {
        index: Arc::new(index),
        binder: None,
        metrics: Metrics::default(),
    })
});

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
}

fn ask(path: &str, body: &[u8]) -> Option<Value> {
    let request = Request::post(path).body(Body::from(body.to_vec())).expect("a request");
    let (status, body) = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let response = ROUTER.clone().oneshot(request).await.expect("infallible");
            (
                response.status(),
                to_bytes(response.into_body(), usize::MAX).await.expect("a body"),
            )
        })
    });
    if status != 200 {
        assert_eq!(status, 400);
        return None;
    }
    Some(serde_json::from_slice(&body).expect("JSON"))
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(Into::into)
        .collect()
}

fn keys(map: &Value) -> BTreeSet<String> {
    map.as_object()
        .into_iter()
        .flat_map(|map| map.keys().cloned())
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let document = json!({
        "Pod": proxy_pod(), "Nodes": null,
        "NodeNames": ["admiralty-synthetic0", "admiralty-synthetic1", "admiralty-stranger", "real"],
        "NodeNameToMetaVictims": {"admiralty-synthetic0": {"Pods": [{"UID": "1"}], "NumPDBViolations": 0}, "real": {"Pods": []}},
        "PodName": "web", "PodNamespace": "default", "PodUID": "u", "Node": "admiralty-synthetic0",
    });
    let input = Input::of(data, &document);
    let body = input.bytes();
    let _ = ask("/bind", &body);
    // The extender skips what it does not look at, which need not be a number or a string that has a value.
    let parsed: Option<Value> = serde_json::from_slice(&body).ok();
    let known: BTreeSet<String> = (0..TARGETS)
        .map(|n| synthetic::target(n).virtual_node().into())
        .collect();
    if let (Some(answer), Some(args)) = (ask("/filter", &body), &parsed) {
        let metadata = &args["Pod"]["metadata"];
        let is_proxy = metadata["annotations"].get(names::ELECT).is_some()
            && metadata["labels"].get(names::HAS_FINALIZER).is_some();
        let (passed, failed) = (texts(&answer["NodeNames"]), keys(&answer["FailedNodes"]));
        let unresolvable = keys(&answer["FailedAndUnresolvableNodes"]);
        if args["NodeNames"].is_array() {
            let all: BTreeSet<_> = passed.iter().chain(&failed).chain(&unresolvable).cloned().collect();
            assert_eq!(all, texts(&args["NodeNames"]));
            assert!(passed.is_disjoint(&failed) && passed.is_disjoint(&unresolvable));
        }
        if input.is_edited() {
            assert!(
                passed.iter().all(|node| known.contains(node) == is_proxy),
                "{passed:?} {is_proxy}"
            );
        }
    }
    if let Some(answer) = ask("/prioritize", &body) {
        for host in answer.as_array().expect("a list") {
            assert!(
                host["Score"].as_i64().is_some_and(|score| (0..=10).contains(&score)),
                "{host}"
            );
        }
    }
    if let (Some(answer), Some(args)) = (ask("/preempt", &body), &parsed) {
        let asked: BTreeSet<_> = ["NodeNameToVictims", "NodeNameToMetaVictims"]
            .iter()
            .flat_map(|map| keys(&args[*map]))
            .collect();
        assert!(keys(&answer["NodeNameToMetaVictims"]).is_subset(&asked));
    }
});
