//! Fake nodes, whose kubelets kwok plays.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Node, NodeSpec, NodeStatus, Taint},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::api::ObjectMeta;
use multicluster_api::names;

use crate::usage::resource_path;

/// kwok manages nodes with this annotation, and leaves all others (our virtual nodes) alone.
pub(crate) const KWOK_NODE: (&str, &str) = ("kwok.x-k8s.io/node", "fake");

/// Equal nodes, named `<prefix>-0`, `<prefix>-1` and so on.
#[derive(Clone, Debug)]
pub struct NodePool {
    /// How many.
    pub count: usize,
    /// The nodes' common name.
    pub prefix: String,
    /// Labels, besides the well-known ones.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
    /// Capacity and allocatable: `cpu`, `memory`, `pods`, and extended resources.
    pub allocatable: BTreeMap<String, String>,
}

impl NodePool {
    /// `count` nodes with 32 CPUs, 256 GiB and room for 110 pods each.
    pub fn new(prefix: &str, count: usize) -> Self {
        let allocatable = [("cpu", "32"), ("memory", "256Gi"), ("pods", "110")];
        Self {
            count,
            prefix: prefix.to_owned(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            allocatable: allocatable
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a taint; the effect is `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        self.taints.push(Taint {
            key: key.to_owned(),
            value: Some(value.to_owned()),
            effect: effect.to_owned(),
            time_added: None,
        });
        self
    }

    /// Sets how much of a resource each node has.
    pub fn allocatable(mut self, resource: &str, quantity: &str) -> Self {
        self.allocatable.insert(resource.to_owned(), quantity.to_owned());
        self
    }

    /// The nodes as objects to create.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        (0..self.count).map(|index| self.node(&format!("{}-{index}", self.prefix)))
    }

    fn node(&self, name: &str) -> Node {
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let well_known = [
            ("kubernetes.io/arch", "amd64"),
            (names::HOSTNAME, name),
            ("kubernetes.io/os", "linux"),
        ];
        let mut labels: BTreeMap<_, _> = well_known.map(own).into();
        labels.extend(self.labels.clone());
        let resources: BTreeMap<_, _> = self
            .allocatable
            .iter()
            .map(|(key, value)| (key.clone(), Quantity(value.clone())))
            .collect();
        Node {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(labels),
                annotations: Some(
                    [
                        own(KWOK_NODE),
                        own((names::RESOURCE_METRICS_PATH, &resource_path(name))),
                    ]
                    .into(),
                ),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                taints: Some(self.taints.clone()),
                ..NodeSpec::default()
            }),
            status: Some(NodeStatus {
                allocatable: Some(resources.clone()),
                capacity: Some(resources),
                ..NodeStatus::default()
            }),
        }
    }
}

/// Ready, and the node lifecycle controller has seen that: the taint that every new node gets is gone.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        && !taints.iter().any(|taint| taint.key == "node.kubernetes.io/not-ready")
}
