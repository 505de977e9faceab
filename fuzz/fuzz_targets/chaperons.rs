//! Chaperons, read by both sides: deciding ends, and what a target says of a delegate stays within bounds.
#![no_main]

use std::time::Instant;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use multicluster_agent::source::chaperons::Chaperons;
use multicluster_agent::source::proxy_pods::ProxyPod;
use multicluster_agent::source::status::{proxy_status, returning_annotations, shows};
use multicluster_agent::target::decide::{Action, decide};
use multicluster_agent::target::fence::Fence;
use multicluster_agent::target::index::{Chaperon, Delegate};
use multicluster_api::syntax::{is_annotation_key, is_in_domain};
use multicluster_api::view::{ChaperonView, PodView};
use multicluster_api::{PodChaperon, TargetRef, names};
use multicluster_extender::core::attempt::Attempt;
use multicluster_extender::core::pod::Wanted;
use multicluster_fuzz::{Input, chaperon, proxy_pod};

fn of_target(object: &PodChaperon, delegate: Option<Delegate>) {
    let mut chaperon = Chaperon::from(object.clone());
    let delegate = delegate.map(|delegate| Delegate {
        owner_uid: chaperon.uid.clone(),
        ..delegate
    });
    let now = Timestamp::UNIX_EPOCH;
    if let Action::Status(status) = decide(Some(&chaperon), delegate.as_ref(), Fence::None, now) {
        assert!(
            status
                .delegate
                .iter()
                .flat_map(|d| d.annotations.keys())
                .all(|key| !names::is_ours(key))
                || delegate.is_none()
        );
        chaperon.status = *status;
        // A status that is written is not written again.
        assert!(!matches!(
            decide(Some(&chaperon), delegate.as_ref(), Fence::None, now),
            Action::Status(_)
        ));
    }
}

fn of_source(view: &ChaperonView) {
    let mut pod = ProxyPod::from(serde_json::from_value::<PodView>(proxy_pod()).expect("a pod"));
    let chaperons = Chaperons::default();
    if let Some(parent) = chaperons.put(view, "admiralty-synthetic0") {
        let found = chaperons.get(&parent, view.metadata.namespace.as_deref().unwrap_or_default());
        assert!(found.is_some_and(|found| chaperons.remove(&found.key) == Some(parent)));
    }
    let Some(status) = &view.status else { return };
    let annotations = status
        .delegate
        .iter()
        .flat_map(|delegate| returning_annotations(&pod, delegate));
    for (key, _) in annotations {
        assert!(
            is_annotation_key(&key)
                && !["kubernetes.io", "k8s.io", names::GROUP]
                    .iter()
                    .any(|d| is_in_domain(&key, d))
        );
    }
    let wanted = proxy_status(&pod, &status.pod);
    assert!(
        wanted
            .container_statuses
            .iter()
            .flatten()
            .all(|container| pod.containers.contains(&container.name))
    );
    pod.status = wanted;
    assert!(shows(&pod, &proxy_status(&pod, &status.pod)), "written twice");
}

fuzz_target!(|data: &[u8]| {
    let bytes = Input::of(data, &chaperon()).bytes();
    if let Ok(view) = serde_json::from_slice::<ChaperonView>(&bytes) {
        of_source(&view);
    }
    let delegate = serde_json::from_slice::<PodView>(&bytes).ok();
    let delegate = delegate.map(|pod| Delegate {
        uid: "d".into(),
        annotations: pod.metadata.annotations.unwrap_or_default(),
        node_name: pod.spec.node_name,
        status: pod.status,
        ..Delegate::default()
    });
    if let Ok(object) = serde_json::from_slice::<PodChaperon>(&bytes) {
        of_target(&object, None);
        of_target(&object, delegate);
        let _ = Attempt::of(&object, &TargetRef::cluster("synthetic0"), Instant::now());
        if let Ok(wanted) = Wanted::of_delegate(&object) {
            assert_eq!(wanted.requests.pods, 1);
        }
    }
});
