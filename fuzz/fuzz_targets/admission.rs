//! AdmissionReviews of all paths: whatever comes, the answer is one that the API server understands.
#![no_main]

use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use multicluster_api::names;
use multicluster_fuzz::{Input, SECRET, pod};
use multicluster_webhook::config::ProxyConfig;
use multicluster_webhook::metrics::Metrics;
use multicluster_webhook::server::router;
use serde_json::{Value, json};
use tower::ServiceExt;

const MUTATE: &str = "/mutate-v1-pod";
const OURS: [(&str, &str); 6] = [
    ("Target", "target"),
    ("ClusterTarget", "clustertarget"),
    ("Source", "source"),
    ("ClusterSource", "clustersource"),
    ("TrustedIdentityProvider", "trustedidentityprovider"),
    ("Kubeconfig", "kubeconfig"),
];

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    static ROUTER: axum::Router = router(ProxyConfig::default(), Metrics::default());
}

fn ask(path: &str, body: Vec<u8>) -> Option<Value> {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .expect("a request");
    let response = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let response = ROUTER.with(Clone::clone).oneshot(request).await.expect("infallible");
            (
                response.status(),
                to_bytes(response.into_body(), usize::MAX).await.expect("a body"),
            )
        })
    });
    match response {
        (status, body) if status == 200 => {
            Some(serde_json::from_slice::<Value>(&body).expect("JSON")["response"].take())
        }
        (status, _) => {
            assert!(status.is_client_error(), "{status}");
            None
        }
    }
}

fn review(kind: Value, operation: &str, object: &Value, old: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "r", "kind": kind, "namespace": "default", "operation": operation, "object": object, "oldObject": old,
    }})
}

/// The object after the patch, if there is one.
fn patched(response: &Value, object: &Value) -> Option<Value> {
    let patch = STANDARD.decode(response["patch"].as_str()?).expect("base64");
    let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a patch");
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).expect("the patch applies");
    Some(object)
}

fn check(response: &Value, secrets_in_place: bool) {
    if response["allowed"] == false {
        let message = response["status"]["message"].as_str().expect("a message");
        assert!(
            !message.is_empty()
                && response["status"]["code"]
                    .as_u64()
                    .is_some_and(|code| (400..500).contains(&code))
        );
        assert!(!secrets_in_place || !message.contains(SECRET), "{message}");
    }
}

fuzz_target!(|data: &[u8]| {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let input = Input::of(data, &pod());
    let Input::Edited(object) = &input else {
        for path in [
            MUTATE,
            "/validate-v1-pod",
            "/validate-multicluster-admiralty-io-v1alpha1-target",
        ] {
            if let Some(response) = ask(path, data.to_vec()) {
                check(&response, false);
            }
        }
        return;
    };
    let body = |operation: &str, object: &Value, old: &Value| {
        review(kind.clone(), operation, object, old).to_string().into_bytes()
    };
    for (path, operation, old) in [
        ("/validate-v1-pod", "CREATE", Value::Null),
        ("/validate-v1-pod", "UPDATE", pod()),
    ] {
        if let Some(response) = ask(path, body(operation, object, &old)) {
            check(&response, true);
        }
    }
    for (kind, path) in OURS {
        let kind = json!({"group": names::GROUP, "version": names::VERSION, "kind": kind});
        let path = format!("/validate-multicluster-admiralty-io-v1alpha1-{path}");
        if let Some(response) = ask(
            &path,
            review(kind, "CREATE", object, &Value::Null).to_string().into_bytes(),
        ) {
            check(&response, true);
        }
    }
    let Some(response) = ask(MUTATE, body("CREATE", object, &Value::Null)) else {
        return;
    };
    check(&response, true);
    let elected = object
        .pointer("/metadata/annotations/multicluster.admiralty.io~1elect")
        .is_some();
    let proxy = patched(&response, object).unwrap_or_else(|| object.clone());
    if response["allowed"] == true && elected {
        let finalizers = proxy["metadata"]["finalizers"].as_array().expect("finalizers");
        assert!(finalizers.iter().any(|finalizer| finalizer == names::FINALIZER));
        assert_eq!(proxy["metadata"]["labels"][names::HAS_FINALIZER], "true");
        assert_eq!(proxy["spec"]["nodeSelector"][names::PROVIDER], names::PROVIDER_VALUE);
        assert_eq!(proxy["spec"]["terminationGracePeriodSeconds"], 0);
        let again = ask(MUTATE, body("CREATE", &proxy, &Value::Null)).expect("an answer");
        assert_eq!(
            (&again["allowed"], &again["patch"]),
            (&Value::Bool(true), &Value::Null),
            "{again}"
        );
        // It is held until its delegate is gone, and its manifest stays what it is.
        let validated = ask("/validate-v1-pod", body("CREATE", &proxy, &Value::Null)).expect("an answer");
        assert_eq!(validated["allowed"], true, "{validated}");
    }
});
