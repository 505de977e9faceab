//! Does a virtual node take a proxy pod, as far as kube-scheduler's own plugins would say? Pure.
//!
//! Which of the target's nodes has room, the extender alone knows, from summaries that are not in the source.

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};
use kube::ResourceExt;
use multicluster_api::resources::{Resources, pod_requests};

/// Why this node does not take the pod; empty if it does.
pub fn reasons(pod: &Pod, node: &Node) -> Vec<String> {
    let mut reasons = Vec::new();
    let spec = pod.spec.clone().unwrap_or_default();
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
        reasons.push(format!("it is cordoned: kubectl uncordon {}", node.name_any()));
    }
    for (key, value) in spec.node_selector.iter().flatten() {
        if node.labels().get(key) != Some(value) {
            reasons.push(format!("it lacks the label {key}={value} that the pod selects"));
        }
    }
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    if let Some(required) = required
        && !required.node_selector_terms.iter().any(|term| matches(term, node))
    {
        reasons.push("it does not match the pod's required node affinity".into());
    }
    let tolerations = spec.tolerations.clone().unwrap_or_default();
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    for taint in taints.iter().filter(|taint| taint.effect != "PreferNoSchedule") {
        if !tolerations.iter().any(|toleration| tolerates(toleration, taint)) {
            reasons.push(format!(
                "the pod does not tolerate its taint {}:{}",
                taint.key, taint.effect
            ));
        }
    }
    reasons.extend(too_large(pod, node));
    reasons
}

/// More than the target has in sum will not fit one of its nodes.
fn too_large(pod: &Pod, node: &Node) -> Option<String> {
    let mut wanted = pod_requests(pod.spec.as_ref()?).ok()?;
    wanted.pods = 1;
    let there = Resources::parse(node.status.as_ref()?.allocatable.as_ref()?).ok()?;
    let lacking: Vec<&str> = wanted.lacking(&there).collect();
    (!lacking.is_empty()).then(|| {
        format!(
            "all its nodes together have less {} than the pod asks for",
            lacking.join(", ")
        )
    })
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let effect = given(&toleration.effect).is_none_or(|effect| effect == taint.effect);
    let key = given(&toleration.key).is_none_or(|key| key == taint.key);
    let value = match toleration.operator.as_deref() {
        Some("Exists") => true,
        _ => {
            given(&toleration.key).is_some()
                && toleration.value.clone().unwrap_or_default() == taint.value.clone().unwrap_or_default()
        }
    };
    effect && key && value
}

fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let (labels, fields) = (term.match_expressions.clone(), term.match_fields.clone());
    if labels.iter().flatten().count() + fields.iter().flatten().count() == 0 {
        return false;
    }
    let by_label = labels
        .iter()
        .flatten()
        .all(|one| holds(one, node.labels().get(&one.key).map(String::as_str)));
    let name = node.name_any();
    by_label
        && fields
            .iter()
            .flatten()
            .all(|one| holds(one, Some(name.as_str()).filter(|_| one.key == "metadata.name")))
}

fn holds(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = requirement.values.clone().unwrap_or_default();
    let within = found.is_some_and(|found| values.iter().any(|value| value == found));
    let compared = || {
        let wanted: i64 = values.first()?.parse().ok()?;
        Some(found?.parse::<i64>().ok()?.cmp(&wanted))
    };
    match requirement.operator.as_str() {
        "In" => within,
        "NotIn" => !within,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compared() == Some(std::cmp::Ordering::Greater),
        "Lt" => compared() == Some(std::cmp::Ordering::Less),
        _ => false,
    }
}
