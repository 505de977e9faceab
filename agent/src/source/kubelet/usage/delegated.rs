//! The pods of a virtual node whose delegates' metrics are shown. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ContainerStatus;
use multicluster_kubelet::usage::node::Delegated;
use multicluster_kubelet::usage::summary::PodReference;

use crate::source::chaperons::RemoteChaperon;
use crate::source::proxy_pods::ProxyPod;

/// A pod on this virtual node, by its own status: what runs there is what the source has been told.
pub fn delegated(node: &str, pod: &ProxyPod, chaperon: &RemoteChaperon) -> Option<Delegated> {
    let delegate = chaperon.status.delegate.as_ref()?;
    (pod.node_name == node).then(|| Delegated {
        proxy: PodReference {
            name: pod.name.clone(),
            namespace: pod.namespace.clone(),
            uid: pod.uid.clone(),
        },
        delegate_uid: delegate.uid.clone(),
        delegate: chaperon.key.1.clone(),
        started: pod.status.start_time.as_ref().map(|time| time.0),
        running: running(pod),
    })
}

/// Containers, sidecars among the init containers, and ephemeral containers.
fn running(pod: &ProxyPod) -> BTreeMap<String, Timestamp> {
    let status = &pod.status;
    let all = [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let all = all.into_iter().flatten().flatten();
    all.filter_map(|status| Some((status.name.clone(), started(status)?)))
        .collect()
}

fn started(status: &ContainerStatus) -> Option<Timestamp> {
    let running = status.state.as_ref()?.running.as_ref()?;
    Some(running.started_at.as_ref()?.0)
}
