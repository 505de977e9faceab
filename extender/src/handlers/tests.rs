//! Requests as kube-scheduler writes them, and as it does not.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use multicluster_api::TargetRef;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::core::builders::{NodeExt, node, proxy_pod, spec};
use crate::index::tests::{index, ready};

fn extender() -> Extender {
    let (index, _wakes) = index();
    ready(&index, &TargetRef::cluster("eu"), None, vec![node("n1")]);
    ready(
        &index,
        &TargetRef::cluster("us"),
        None,
        vec![node("n1").used(&[("cpu", "4")])],
    );
    ready(&index, &TargetRef::namespaced("prod", "eu"), None, vec![node("n1")]);
    Extender {
        index: Arc::new(index),
        binder: None,
        metrics: Metrics::default(),
    }
}

async fn ask(path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post(path).body(body.into()).unwrap();
    let response = router(extender()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (
        status,
        serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into()),
    )
}

const NAMES: [&str; 3] = ["admiralty-eu", "admiralty-us", "admiralty-prod-eu"];

#[tokio::test]
async fn names_in_names_out() {
    let args = json!({"Pod": proxy_pod("a", "1", spec("1")), "Nodes": null, "NodeNames": NAMES});
    let expected = json!({
        "Nodes": null, "NodeNames": ["admiralty-eu"],
        "FailedNodes": {"admiralty-us": "Insufficient cpu in target"},
        "FailedAndUnresolvableNodes": {"admiralty-prod-eu": "target serves another namespace"},
        "Error": "",
    });
    assert_eq!(ask("/filter", args.to_string()).await, (StatusCode::OK, expected));
    let scores = json!([{"Host": "admiralty-eu", "Score": 10}, {"Host": "admiralty-us", "Score": 0},
        {"Host": "admiralty-prod-eu", "Score": 10}]);
    assert_eq!(ask("/prioritize", args.to_string()).await, (StatusCode::OK, scores));
}

#[tokio::test]
async fn whole_nodes_go_back_unchanged() {
    let whole = |name: &str| json!({"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {"future": 1.0}});
    let nodes = json!({"metadata": {"resourceVersion": "7"}, "items": NAMES.map(whole)});
    let args = json!({"Pod": proxy_pod("a", "1", spec("1")), "Nodes": nodes, "NodeNames": null});
    let (_, answer) = ask("/filter", args.to_string()).await;
    assert_eq!(
        answer["Nodes"],
        json!({"metadata": {"resourceVersion": "7"}, "items": [whole("admiralty-eu")]})
    );
    assert_eq!(answer["NodeNames"], Value::Null);
}

#[tokio::test]
async fn a_label_tells_a_virtual_node_that_is_not_known_yet() {
    let labels = json!({"virtual-kubelet.io/provider": "admiralty"});
    let nodes = json!({"items": [{"metadata": {"name": "new", "labels": labels}}, {"metadata": {"name": "real"}}]});
    let args = json!({"Pod": {"metadata": {"name": "a", "uid": "1"}, "spec": {"containers": []}}, "Nodes": nodes});
    let (_, answer) = ask("/filter", args.to_string()).await;
    assert_eq!(answer["Nodes"]["items"], json!([{"metadata": {"name": "real"}}]));
}

#[tokio::test]
async fn a_proxy_pod_that_cannot_be_read_is_refused_with_the_reason() {
    let mut pod = proxy_pod("a", "1", spec("1"));
    pod.metadata
        .annotations
        .as_mut()
        .unwrap()
        .remove(multicluster_api::names::SOURCE_POD_MANIFEST);
    let args = json!({"Pod": pod, "NodeNames": ["admiralty-eu"]});
    let (status, answer) = ask("/filter", args.to_string()).await;
    let reason = answer["FailedAndUnresolvableNodes"]["admiralty-eu"].as_str().unwrap();
    assert!(status.is_success() && reason.contains("sourcepod-manifest"), "{reason}");
}

#[tokio::test]
async fn nonsense_is_a_bad_request() {
    let mut deep = "[".repeat(100_000);
    deep.push_str(&"]".repeat(100_000));
    for path in ["/filter", "/prioritize", "/preempt", "/bind"] {
        for body in [
            "",
            "null",
            "[]",
            "{",
            "{\"Pod\": 3, \"PodName\": 3}",
            "\u{0}",
            "{\"Nodes\":{\"items\":[1",
            &deep,
        ] {
            let (status, text) = ask(path, body.to_owned()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {text}");
        }
    }
    let nodes = json!({"Pod": {"metadata": {}}, "Nodes": {"items": ["no object"]}});
    assert_eq!(ask("/filter", nodes.to_string()).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_a_bad_request() {
    let broken = futures::stream::iter([Ok("{\"Pod\":"), Err(std::io::Error::other("gone"))]);
    assert_eq!(
        ask("/filter", Body::from_stream(broken)).await.0,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn preemption_needs_victims_on_a_virtual_node() {
    let victims = |uids: &[&str]| {
        let pods: Vec<_> = uids.iter().map(|uid| json!({"UID": uid})).collect();
        json!({"Pods": pods, "NumPDBViolations": 1})
    };
    let nodes = json!({"admiralty-eu": victims(&["v"]), "admiralty-us": victims(&[]), "real": victims(&["v"])});
    let args =
        json!({"Pod": proxy_pod("a", "1", spec("1")), "NodeNameToMetaVictims": nodes, "NodeNameToVictims": null});
    let (_, answer) = ask("/preempt", args.to_string()).await;
    assert_eq!(
        answer,
        json!({"NodeNameToMetaVictims": {"admiralty-eu": victims(&["v"])}})
    );
    let whole = json!({"admiralty-eu": {"Pods": [{"metadata": {"name": "x", "uid": "v"}}], "NumPDBViolations": 1}});
    let args = json!({"Pod": proxy_pod("a", "1", spec("1")), "NodeNameToVictims": whole});
    assert_eq!(ask("/preempt", args.to_string()).await.1, answer);
}

proptest! {
    #[test]
    fn no_body_panics(body in "\\PC{0,300}") {
        let extender = extender();
        let _ = (extender.filter(body.as_bytes()).is_ok(), extender.prioritize(body.as_bytes()).is_ok());
    }

    #[test]
    fn no_mutilated_request_panics(cut in 0usize..3000, flip in 0usize..3000, to in any::<u8>()) {
        let args = json!({"Pod": proxy_pod("a", "1", spec("1")), "NodeNames": NAMES}).to_string();
        let mut bytes = args.into_bytes();
        if let Some(byte) = bytes.get_mut(flip) {
            *byte = to;
        }
        bytes.truncate(cut);
        let extender = extender();
        let _ = (extender.filter(&bytes).is_ok(), extender.prioritize(&bytes).is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_not_waited_for() {
    let endless = futures::stream::pending::<std::io::Result<Vec<u8>>>();
    let begin = tokio::time::Instant::now();
    for path in ["/filter", "/prioritize", "/preempt", "/bind"] {
        let (status, message) = ask(path, Body::from_stream(endless.clone())).await;
        assert!(
            status == StatusCode::BAD_REQUEST && message.to_string().contains("not complete"),
            "{path}: {message}"
        );
    }
    assert!(begin.elapsed() <= 4 * BODY_TIME + Duration::from_secs(1));
}

/// Nodes of all kinds: targets, strangers, and names that are none.
fn asked() -> impl Strategy<Value = Vec<String>> {
    let known = NAMES.map(String::from).to_vec();
    prop::collection::vec(
        prop_oneof![proptest::sample::select(known), "[a-z-]{0,12}", "\\PC{0,8}"],
        0..8,
    )
}

proptest! {
    #[test]
    fn each_node_has_one_answer_and_strangers_never_pass(names in asked(), elected in any::<bool>(), amount in "-?[0-9]{0,21}(m|Ei|e[0-9]{0,7})?|\\PC{0,5}") {
        let mut pod = json!(proxy_pod("a", "1", spec("1")));
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = amount.into();
        if !elected {
            pod["metadata"]["annotations"] = json!({});
        }
        let body = json!({"Pod": pod, "NodeNames": names}).to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (status, answer) = runtime.block_on(ask("/filter", body));
        prop_assert_eq!(status, StatusCode::OK);
        for name in &names {
            let passed = answer["NodeNames"].as_array().unwrap().iter().any(|passed| passed == name.as_str());
            let failed = ["FailedNodes", "FailedAndUnresolvableNodes"].iter().any(|kind| answer[*kind].get(name).is_some());
            prop_assert!(passed != failed, "{name}: {answer}");
            let target = NAMES.contains(&name.as_str());
            prop_assert!(!passed || target == elected, "{name} {elected}");
        }
    }
}
