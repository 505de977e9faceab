//! The status of a proxy pod, from that of its delegate. Pure.
//!
//! The target is half trusted: it says how the delegate does, within what a kubelet could say, and nothing more.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodCondition, PodStatus};
use multicluster_api::syntax::{is_annotation_key, is_in_domain};
use multicluster_api::{DelegateRef, names};

use super::proxy_pods::ProxyPod;

/// Conditions that the source decides on, whatever the target says.
const OWN_CONDITIONS: [&str; 1] = ["PodScheduled"];
/// `status.phase` has one of these values.
const PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
/// Most conditions that are taken; pods have about six.
const MOST_CONDITIONS: usize = 64;
/// Longest message that is taken, in characters: as long as a container's termination message.
const MOST_CHARS: usize = 4096;
/// Most bytes of annotations that come back. The API server takes 256 KiB in all, and the saved manifest needs its part.
const MOST_ANNOTATIONS: usize = 32 << 10;
/// Annotations of these domains steer Kubernetes and us in the source: they are not the target's to write.
const RESERVED_DOMAINS: [&str; 3] = [names::GROUP, "kubernetes.io", "k8s.io"];

/// The status that the proxy pod should have. What only the source's API server and scheduler know stays.
pub fn proxy_status(pod: &ProxyPod, delegate: &PodStatus) -> PodStatus {
    PodStatus {
        phase: delegate
            .phase
            .clone()
            .filter(|phase| PHASES.contains(&phase.as_str()))
            .or_else(|| pod.status.phase.clone()),
        message: delegate.message.clone().map(short),
        reason: delegate.reason.clone().map(short),
        start_time: delegate.start_time.clone(),
        host_ip: delegate.host_ip.clone(),
        host_ips: delegate.host_ips.clone(),
        pod_ip: delegate.pod_ip.clone(),
        pod_ips: delegate.pod_ips.clone(),
        conditions: conditions(pod, delegate),
        container_statuses: known(pod, &delegate.container_statuses),
        init_container_statuses: known(pod, &delegate.init_container_statuses),
        ephemeral_container_statuses: known(pod, &delegate.ephemeral_container_statuses),
        ..pod.status.clone()
    }
}

/// The delegate's conditions; and of the source's own those that the delegate does not have.
fn conditions(pod: &ProxyPod, delegate: &PodStatus) -> Option<Vec<PodCondition>> {
    let theirs = delegate
        .conditions
        .iter()
        .flatten()
        .filter(|c| !OWN_CONDITIONS.contains(&c.type_.as_str()));
    let mut seen = HashSet::new();
    let theirs: Vec<_> = theirs
        .filter(|c| is_annotation_key(&c.type_) && seen.insert(c.type_.as_str()))
        .take(MOST_CONDITIONS)
        .map(|c| PodCondition {
            // A generation of the delegate says nothing about the proxy pod's.
            observed_generation: None,
            message: c.message.clone().map(short),
            reason: c.reason.clone().map(short),
            ..c.clone()
        })
        .collect();
    let own = pod.status.conditions.iter().flatten();
    let own = own
        .filter(|mine| !theirs.iter().any(|condition| condition.type_ == mine.type_))
        .cloned();
    let mut all: Vec<_> = own.chain(theirs.iter().cloned()).collect();
    all.sort_by(|a, b| a.type_.cmp(&b.type_));
    (!all.is_empty()).then_some(all)
}

/// Statuses of the containers that the proxy pod has: the target may have added sidecars of its own.
fn known(pod: &ProxyPod, statuses: &Option<Vec<ContainerStatus>>) -> Option<Vec<ContainerStatus>> {
    let mut seen = HashSet::new();
    let statuses = statuses
        .iter()
        .flatten()
        .filter(|status| pod.containers.contains(&status.name) && seen.insert(status.name.as_str()))
        .cloned();
    let statuses: Vec<_> = statuses
        .map(|status| ContainerStatus {
            state: status.state.map(cut),
            last_state: status.last_state.map(cut),
            ..status
        })
        .collect();
    (!statuses.is_empty()).then_some(statuses)
}

fn cut(mut state: ContainerState) -> ContainerState {
    let waiting = state.waiting.as_mut().map(|waiting| &mut waiting.message);
    let terminated = state.terminated.as_mut().map(|terminated| &mut terminated.message);
    for message in waiting.into_iter().chain(terminated) {
        *message = message.take().map(short);
    }
    state
}

fn short(text: String) -> String {
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

/// Annotations that the target put on the delegate, or changed, and that the proxy pod does not show yet.
pub fn returning_annotations(pod: &ProxyPod, delegate: &DelegateRef) -> BTreeMap<String, String> {
    let mut room = MOST_ANNOTATIONS;
    let returning = delegate.annotations.iter().filter(|(key, value)| {
        let theirs = is_annotation_key(key) && !RESERVED_DOMAINS.iter().any(|domain| is_in_domain(key, domain));
        // The same ones at each call: those that fit, in order.
        let fits = theirs && key.len() + value.len() <= room;
        if fits {
            room -= key.len() + value.len();
        }
        fits && pod.annotations.get(*key) != Some(*value)
    });
    returning.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Does the pod show this status already? The order of its conditions does not matter.
pub fn shows(pod: &ProxyPod, wanted: &PodStatus) -> bool {
    let mut shown = pod.status.clone();
    if let Some(conditions) = &mut shown.conditions {
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    }
    shown == *wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(value: serde_json::Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    fn pod() -> ProxyPod {
        ProxyPod {
            containers: vec!["main".into()],
            status: status(json!({
                "phase": "Pending",
                "qosClass": "Burstable",
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "Ready", "status": "False"},
                    {"type": "DisruptionTarget", "status": "True"},
                ],
            })),
            ..Default::default()
        }
    }

    fn container(name: &str) -> serde_json::Value {
        json!({"name": name, "ready": true, "restartCount": 0, "image": "i", "imageID": ""})
    }

    #[test]
    fn the_delegates_status_shows_and_the_sources_own_stays() {
        let delegate = status(json!({
            "phase": "Running",
            "podIP": "10.0.0.1",
            "qosClass": "BestEffort",
            "conditions": [
                {"type": "Ready", "status": "True", "observedGeneration": 3},
                {"type": "PodScheduled", "status": "True", "message": "the target's"},
            ],
            "containerStatuses": [container("main"), container("injected")],
        }));
        let shown = proxy_status(&pod(), &delegate);
        assert_eq!(
            (shown.phase.as_deref(), shown.qos_class.as_deref()),
            (Some("Running"), Some("Burstable"))
        );
        let conditions = shown.conditions.clone().unwrap();
        let seen: Vec<_> = conditions
            .iter()
            .map(|c| (c.type_.as_str(), c.status.as_str(), c.message.is_some()))
            .collect();
        assert_eq!(
            seen,
            [
                ("DisruptionTarget", "True", false),
                ("PodScheduled", "True", false),
                ("Ready", "True", false)
            ]
        );
        assert_eq!(conditions[2].observed_generation, None);
        let containers: Vec<_> = shown
            .container_statuses
            .iter()
            .flatten()
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(containers, ["main"]);
    }

    #[test]
    fn a_target_that_says_too_much_is_cut_short() {
        let many: Vec<_> = (0..10_000)
            .map(|n| json!({"type": format!("example.com/c{n}"), "status": "True", "message": "x".repeat(100)}))
            .collect();
        let mut doubled = many.clone();
        doubled.extend(many);
        let containers: Vec<_> = (0..10_000).map(|n| container(&format!("c{n}"))).collect();
        let mut talker = container("main");
        talker["state"] = json!({"waiting": {"message": "ä".repeat(1 << 20)}});
        let delegate = status(json!({
            "phase": "Running",
            "message": "m".repeat(1 << 20),
            "conditions": doubled,
            "containerStatuses": [talker.clone(), talker.clone()],
            "initContainerStatuses": containers,
        }));
        let shown = proxy_status(&pod(), &delegate);
        assert_eq!(shown.container_statuses.as_ref().unwrap().len(), 1);
        assert_eq!(shown.init_container_statuses, None);
        assert!(shown.conditions.as_ref().unwrap().len() <= MOST_CONDITIONS + 3);
        assert!(serde_json::to_vec(&shown).unwrap().len() < 64 << 10);
    }

    #[test]
    fn a_status_that_no_pod_can_have_leaves_the_last_one() {
        let delegate = status(json!({
            "phase": "Evil",
            "conditions": [{"type": "no good", "status": "True"}, {"type": "Ready", "status": "True"}],
        }));
        let shown = proxy_status(&pod(), &delegate);
        assert_eq!(shown.phase.as_deref(), Some("Pending"));
        assert!(shown.conditions.unwrap().iter().all(|c| c.type_ != "no good"));
    }

    fn returning(pairs: &[(&str, &str)]) -> Vec<String> {
        let delegate = DelegateRef {
            annotations: pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..Default::default()
        };
        let mut pod = pod();
        pod.annotations.insert("example.com/shown".into(), "1".into());
        returning_annotations(&pod, &delegate).into_keys().collect()
    }

    #[test]
    fn annotations_come_back_but_those_that_steer_the_source_do_not() {
        let back = returning(&[
            ("cni.projectcalico.org/podIP", "10.0.0.1/32"),
            ("plain", "1"),
            ("example.com/shown", "1"),
            ("multicluster.admiralty.io/elect", ""),
            (names::SOURCE_POD_MANIFEST, "spec: {}"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
            ("controller.kubernetes.io/pod-deletion-cost", "-1"),
            ("batch.kubernetes.io/job-completion-index", "0"),
            ("Kubernetes.io/x", "1"),
            ("no good", "1"),
            ("a/b/c", "1"),
        ]);
        assert_eq!(back, ["cni.projectcalico.org/podIP", "plain"]);
    }

    #[test]
    fn annotations_that_would_not_fit_stay_away() {
        let huge = "x".repeat(1 << 20);
        assert_eq!(returning(&[("a", &huge), ("b", "1")]), ["b"]);
        let half = "x".repeat(MOST_ANNOTATIONS / 2);
        assert_eq!(returning(&[("a", &half), ("b", &half), ("c", "1")]), ["a", "c"]);
    }

    #[test]
    fn a_status_that_shows_is_not_written_again() {
        let delegate = status(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}));
        let mut pod = pod();
        assert!(!shows(&pod, &proxy_status(&pod, &delegate)));
        pod.status = proxy_status(&pod, &delegate);
        pod.status.conditions.as_mut().unwrap().reverse();
        assert!(shows(&pod, &proxy_status(&pod, &delegate)));
    }
}
