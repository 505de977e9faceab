//! What the virtual node of a target looks like. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use multicluster_api::quantity::ResourceList;
use multicluster_api::{ClusterSummaryFields, TargetRef, names};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::health::Health;
use super::offer::Offer;
use crate::merge;

/// Reason of conditions and events while most targets are silent.
pub const MOST_UNREACHABLE: &str = "MostTargetsUnreachable";

/// What a virtual node should say, apart from its Ready condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Labels of ours and of the target.
    pub labels: BTreeMap<String, String>,
    /// Keys of those that come from the target.
    pub target_labels: BTreeSet<String>,
    /// Sums over the target's nodes.
    pub capacity: ResourceList,
    /// Sums over the target's nodes.
    pub allocatable: ResourceList,
    /// What the target says and no node may show, in a sentence.
    pub left_out: Option<String>,
}

impl Wanted {
    /// From a target's summary. Labels that match `excluded` (as `key=value`) stay away.
    pub fn new(target: &TargetRef, summary: &ClusterSummaryFields, excluded: Option<&Regex>) -> Self {
        let own = own_labels(target);
        let mut offer = Offer::of(summary, excluded);
        offer.labels.retain(|key, _| !own.contains_key(key));
        Self {
            target_labels: offer.labels.keys().cloned().collect(),
            labels: own.into_iter().chain(offer.labels).collect(),
            capacity: offer.capacity,
            allocatable: offer.allocatable,
            left_out: offer.left_out,
        }
    }

    fn target_labels_annotation(&self) -> String {
        self.target_labels
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(",")
    }
}

fn own_labels(target: &TargetRef) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = [
        ("type", names::VIRTUAL_KUBELET),
        ("kubernetes.io/role", "cluster"),
        (names::PROVIDER, names::PROVIDER_VALUE),
        ("node.kubernetes.io/exclude-from-external-load-balancers", ""),
        ("alpha.service-controller.kubernetes.io/exclude-balancer", "true"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    // A name that is no label value (longer than 63 characters) is found by the node's name alone.
    let mut put = |key: &str, value: &str| {
        if value.len() <= 63 {
            labels.insert(key.to_owned(), value.to_owned());
        }
    };
    match &target.namespace {
        Some(namespace) => {
            put(names::TARGET_NAMESPACE, namespace);
            put(names::TARGET_NAME, &target.name);
        }
        None => put(names::CLUSTER_TARGET_NAME, &target.name),
    }
    // No kubernetes.io/hostname, as other nodes have: kube-scheduler would take virtual nodes for places where ordinary pods that
    // are spread over hostnames could go, and leave some of them pending.
    put(names::CLUSTER, &target.virtual_node().label_value());
    labels
}

fn own_taint() -> Taint {
    Taint {
        key: names::PROVIDER.into(),
        value: Some(names::PROVIDER_VALUE.into()),
        effect: "NoSchedule".into(),
        ..Default::default()
    }
}

/// The node to create.
pub fn new_node(name: &str, wanted: &Wanted, health: &Health, now: Timestamp) -> Node {
    Node {
        metadata: ObjectMeta {
            name: Some(name.into()),
            labels: Some(wanted.labels.clone()),
            annotations: Some([(names::TARGET_LABELS.to_owned(), wanted.target_labels_annotation())].into()),
            ..Default::default()
        },
        spec: Some(NodeSpec {
            taints: Some(vec![own_taint()]),
            ..Default::default()
        }),
        status: Some(NodeStatus {
            capacity: Some(wanted.capacity.clone()),
            allocatable: Some(wanted.allocatable.clone()),
            conditions: ready_condition(None, health, now).map(|condition| vec![condition]),
            node_info: Some(node_info()),
            ..Default::default()
        }),
    }
}

fn node_info() -> NodeSystemInfo {
    NodeSystemInfo {
        kubelet_version: concat!("multicluster-scheduler/v", env!("CARGO_PKG_VERSION")).into(),
        ..Default::default()
    }
}

/// The merge patch of the node's metadata and spec, or `None` when it is as wanted. Labels that people or other
/// programs put on the node stay, and so do other taints (cordoning is one).
pub fn metadata_patch(node: &Node, wanted: &Wanted) -> Option<Value> {
    let mut patch = Map::new();
    let mut labels: Map<String, Value> = wanted
        .labels
        .iter()
        .filter(|(key, value)| node.labels().get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    let recorded = node
        .annotations()
        .get(names::TARGET_LABELS)
        .map(String::as_str)
        .unwrap_or_default();
    for key in recorded
        .split(',')
        .filter(|key| !key.is_empty() && !wanted.labels.contains_key(*key))
    {
        if node.labels().contains_key(key) {
            labels.insert(key.to_owned(), Value::Null);
        }
    }
    let mut metadata = Map::new();
    if !labels.is_empty() {
        metadata.insert("labels".into(), Value::Object(labels));
    }
    if recorded != wanted.target_labels_annotation() {
        metadata.insert(
            "annotations".into(),
            json!({ names::TARGET_LABELS: wanted.target_labels_annotation() }),
        );
    }
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    if !taints.iter().any(|taint| taint.key == names::PROVIDER) {
        let all: Vec<_> = taints.into_iter().chain([own_taint()]).collect();
        patch.insert("spec".into(), json!({ "taints": all }));
        // The list is replaced as a whole: only if nobody else has changed it meanwhile.
        metadata.insert("resourceVersion".into(), json!(node.metadata.resource_version));
    }
    if !metadata.is_empty() {
        patch.insert("metadata".into(), Value::Object(metadata));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The strategic merge patch of the node's status, or `None` when it is as wanted.
pub fn status_patch(node: &Node, wanted: Option<&Wanted>, health: &Health, now: Timestamp) -> Option<Value> {
    let status = node.status.clone().unwrap_or_default();
    let mut patch = Map::new();
    if let Some(wanted) = wanted {
        for (field, old, new) in [
            ("capacity", &status.capacity, &wanted.capacity),
            ("allocatable", &status.allocatable, &wanted.allocatable),
        ] {
            let old = json!(old.clone().unwrap_or_default());
            if let Some(change) = merge::diff(&old, &json!(new)) {
                patch.insert(field.into(), change);
            }
        }
    }
    let old = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    if let Some(condition) = ready_condition(old, health, now)
        && !old.is_some_and(|old| says_the_same(old, &condition))
    {
        patch.insert("conditions".into(), json!([condition]));
    }
    (!patch.is_empty()).then(|| json!({ "status": patch }))
}

fn says_the_same(a: &NodeCondition, b: &NodeCondition) -> bool {
    (&a.status, &a.reason, &a.message) == (&b.status, &b.reason, &b.message)
}

fn ready_condition(old: Option<&NodeCondition>, health: &Health, now: Timestamp) -> Option<NodeCondition> {
    let (status, reason, message) = match health {
        Health::Unknown => return None,
        Health::Ready => (
            "True",
            "TargetReady",
            "the target's API server answers and its agent is alive".to_owned(),
        ),
        Health::NotReady { reason, message } => ("False", *reason, message.clone()),
        // Nobody is to evict the pods; none are sent there either, since the extender hears nothing of the target.
        Health::CutOff { message, .. } => (
            "True",
            MOST_UNREACHABLE,
            format!("{message}; but most targets fell silent together, so perhaps this cluster is cut off: pods stay"),
        ),
    };
    let since = old
        .filter(|old| old.status == status)
        .and_then(|old| old.last_transition_time.clone());
    Some(NodeCondition {
        type_: "Ready".into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(since.unwrap_or(Time(now))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(labels: &[(&str, &str)]) -> ClusterSummaryFields {
        ClusterSummaryFields {
            labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            allocatable: [("cpu".to_owned(), multicluster_api::quantity::format_milli(4000))].into(),
            ..Default::default()
        }
    }

    fn wanted(labels: &[(&str, &str)]) -> Wanted {
        Wanted::new(&TargetRef::namespaced("default", "eu"), &summary(labels), None)
    }

    fn now() -> Timestamp {
        "2030-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_node_has_the_labels_of_both_sides() {
        let node = new_node(
            "n",
            &wanted(&[("region", "eu"), ("type", "theirs")]),
            &Health::Ready,
            now(),
        );
        let labels = node.labels();
        assert_eq!(labels["region"], "eu");
        assert_eq!(labels["type"], "virtual-kubelet");
        assert_eq!(
            (
                labels[names::TARGET_NAMESPACE].as_str(),
                labels[names::TARGET_NAME].as_str()
            ),
            ("default", "eu")
        );
    }

    #[test]
    fn excluded_labels_stay_away() {
        let excluded = Regex::new("^secret=").unwrap();
        let target = TargetRef::cluster("eu");
        let wanted = Wanted::new(&target, &summary(&[("secret", "1"), ("region", "eu")]), Some(&excluded));
        assert!(!wanted.labels.contains_key("secret") && wanted.labels.contains_key("region"));
    }

    #[test]
    fn a_node_as_wanted_is_left_alone() {
        let wanted = wanted(&[("region", "eu")]);
        let mut node = new_node("n", &wanted, &Health::Ready, now());
        node.labels_mut().insert("by-hand".into(), "1".into());
        assert_eq!(metadata_patch(&node, &wanted), None);
        assert_eq!(status_patch(&node, Some(&wanted), &Health::Ready, now()), None);
    }

    #[test]
    fn labels_follow_and_those_of_others_stay() {
        let mut node = new_node("n", &wanted(&[("region", "eu"), ("zone", "1")]), &Health::Ready, now());
        node.labels_mut().insert("by-hand".into(), "1".into());
        let patch = metadata_patch(&node, &wanted(&[("region", "us")])).unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({"region": "us", "zone": null}));
    }

    #[test]
    fn our_taint_comes_back_beside_others() {
        let wanted = wanted(&[]);
        let mut node = new_node("n", &wanted, &Health::Ready, now());
        let other = Taint {
            key: "other".into(),
            effect: "NoExecute".into(),
            ..Default::default()
        };
        node.spec = Some(NodeSpec {
            taints: Some(vec![other]),
            unschedulable: Some(true),
            ..Default::default()
        });
        let patch = metadata_patch(&node, &wanted).unwrap();
        assert_eq!(patch["spec"]["taints"].as_array().unwrap().len(), 2);
        assert!(patch["spec"].get("unschedulable").is_none());
    }

    #[test]
    fn a_node_whose_target_is_cut_off_with_most_others_stays_ready() {
        let cut_off = Health::CutOff {
            reason: "APIServerTimeout",
            message: "m".into(),
        };
        let condition = ready_condition(None, &cut_off, now()).unwrap();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_deref()),
            ("True", Some(MOST_UNREACHABLE))
        );
    }

    #[test]
    fn a_change_of_health_is_written_once() {
        let wanted = wanted(&[]);
        let node = new_node("n", &wanted, &Health::Ready, now());
        let sick = Health::NotReady {
            reason: "APIServerUnreachable",
            message: "m".into(),
        };
        let patch = status_patch(&node, Some(&wanted), &sick, now()).unwrap();
        assert_eq!(patch["status"]["conditions"][0]["status"], "False");
        assert!(patch["status"].get("allocatable").is_none());
        assert_eq!(status_patch(&node, Some(&wanted), &Health::Unknown, now()), None);
    }
}
