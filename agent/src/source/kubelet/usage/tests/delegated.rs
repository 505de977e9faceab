//! Which pods are shown.

use multicluster_api::DelegateRef;
use multicluster_kubelet::usage::node::Delegated;
use serde_json::json;

use crate::source::chaperons::RemoteChaperon;
use crate::source::kubelet::usage::delegated::delegated;
use crate::source::proxy_pods::ProxyPod;

fn pod() -> ProxyPod {
    let running = json!({ "running": { "startedAt": "2026-01-01T00:00:01Z" } });
    let status = json!({
        "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [
            { "name": "app", "state": running, "image": "", "imageID": "", "ready": true, "restartCount": 0 },
            { "name": "done", "state": { "terminated": { "exitCode": 0 } }, "image": "", "imageID": "", "ready": false, "restartCount": 0 },
            { "name": "odd", "state": { "running": {} }, "image": "", "imageID": "", "ready": false, "restartCount": 0 },
        ],
        "initContainerStatuses": [{ "name": "sidecar", "state": running, "image": "", "imageID": "", "ready": true, "restartCount": 0 }],
    });
    ProxyPod {
        uid: "1".into(),
        namespace: "shop".into(),
        name: "web".into(),
        node_name: "admiralty-eu".into(),
        status: serde_json::from_value(status).unwrap(),
        ..ProxyPod::default()
    }
}

fn chaperon() -> RemoteChaperon {
    let mut chaperon = RemoteChaperon {
        key: ("shop".into(), "web-123".into()),
        ..RemoteChaperon::default()
    };
    chaperon.status.delegate = Some(DelegateRef {
        uid: "d".into(),
        ..DelegateRef::default()
    });
    chaperon
}

#[test]
fn a_delegate_is_shown_as_its_proxy_pod_with_the_containers_that_run() {
    let Delegated {
        proxy,
        delegate,
        delegate_uid,
        started,
        running,
    } = delegated("admiralty-eu", &pod(), &chaperon()).unwrap();
    assert_eq!(
        (proxy.namespace.as_str(), proxy.name.as_str(), proxy.uid.as_str()),
        ("shop", "web", "1")
    );
    assert_eq!((delegate.as_str(), delegate_uid.as_str()), ("web-123", "d"));
    assert_eq!(started.unwrap().to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(running.into_keys().collect::<Vec<_>>(), ["app", "sidecar"]);
}

#[test]
fn a_pod_of_another_node_and_one_without_a_delegate_are_not_shown() {
    assert_eq!(delegated("admiralty-us", &pod(), &chaperon()), None);
    assert_eq!(
        delegated(
            "admiralty-eu",
            &ProxyPod {
                node_name: String::new(),
                ..pod()
            },
            &chaperon()
        ),
        None
    );
    assert_eq!(delegated("admiralty-eu", &pod(), &RemoteChaperon::default()), None);
}
