//! The status of a proxy pod, from that of its delegate. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};

use super::proxy_pods::ProxyPod;

/// Conditions that the source decides on, whatever the target says.
const OWN_CONDITIONS: [&str; 1] = ["PodScheduled"];

/// The status that the proxy pod should have. What only the source's API server and scheduler know stays.
pub fn proxy_status(pod: &ProxyPod, delegate: &PodStatus) -> PodStatus {
    PodStatus {
        phase: delegate.phase.clone(),
        message: delegate.message.clone(),
        reason: delegate.reason.clone(),
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
    // A generation of the delegate says nothing about the proxy pod's.
    let theirs: Vec<_> = theirs
        .map(|c| PodCondition {
            observed_generation: None,
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
    let statuses = statuses
        .iter()
        .flatten()
        .filter(|status| pod.containers.contains(&status.name))
        .cloned();
    let statuses: Vec<_> = statuses.collect();
    (!statuses.is_empty()).then_some(statuses)
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
    fn a_status_that_shows_is_not_written_again() {
        let delegate = status(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}));
        let mut pod = pod();
        assert!(!shows(&pod, &proxy_status(&pod, &delegate)));
        pod.status = proxy_status(&pod, &delegate);
        pod.status.conditions.as_mut().unwrap().reverse();
        assert!(shows(&pod, &proxy_status(&pod, &delegate)));
    }
}
