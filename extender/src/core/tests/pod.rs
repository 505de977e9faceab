//! Pods as kube-scheduler sends them.

use serde_json::json;

use crate::core::builders::{proxy_pod, spec, typed};
use crate::core::pod::SourcePod;
use multicluster_api::names;
use multicluster_api::raw::RawPod;

#[test]
fn a_pod_without_the_webhooks_marks_is_ordinary() {
    let mut pod = proxy_pod("a", "1", spec("1"));
    assert!(SourcePod::read(&typed(&pod)).unwrap().proxy.is_some());
    pod.metadata.labels.as_mut().unwrap().remove(names::HAS_FINALIZER);
    assert!(SourcePod::read(&typed(&pod)).unwrap().proxy.is_none());
}

#[test]
fn requests_are_the_visible_ones() {
    let mut pod = proxy_pod("a", "1", spec("1"));
    pod.spec.insert("containers".into(), spec("3")["containers"].clone());
    let proxy = SourcePod::read(&typed(&pod)).unwrap().proxy.unwrap();
    assert_eq!((proxy.wanted.requests.cpu_milli, proxy.wanted.requests.pods), (3000, 1));
}

#[test]
fn a_missing_or_broken_manifest_is_an_error_that_names_the_annotation() {
    for broken in [None, Some("{"), Some(r#"{"spec": {"nodeSelector": [1]}}"#)] {
        let mut pod = proxy_pod("a", "1", spec("1"));
        let annotations = pod.metadata.annotations.as_mut().unwrap();
        match broken {
            None => annotations.remove(names::SOURCE_POD_MANIFEST),
            Some(text) => annotations.insert(names::SOURCE_POD_MANIFEST.into(), text.into()),
        };
        let error = SourcePod::read(&typed(&pod)).unwrap_err().to_string();
        assert!(error.contains(names::SOURCE_POD_MANIFEST), "{error}");
    }
}

#[test]
fn a_statefulsets_pod_and_a_fenced_one_must_not_run_twice() {
    let read = |pod: &RawPod| SourcePod::read(&typed(pod)).unwrap().proxy.unwrap();
    let mut pod = proxy_pod("a", "1", spec("1"));
    let annotations = pod.metadata.annotations.as_mut().unwrap();
    annotations.insert(names::ATTEMPTED_IN.into(), "admiralty-eu".into());
    assert!(!read(&pod).unique && read(&pod).attempted_in.is_none());
    let mut fenced = pod.clone();
    let annotations = fenced.metadata.annotations.as_mut().unwrap();
    annotations.insert(names::FENCE_AFTER.into(), "60s".into());
    assert!(read(&fenced).unique);
    let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "a", "uid": "s", "controller": true}]);
    pod.metadata.owner_references = serde_json::from_value(owner).unwrap();
    assert!(read(&pod).unique);
    assert_eq!(read(&pod).attempted_in.as_deref(), Some("admiralty-eu"));
}
