//! The clusters that all tests share.
//!
//! | cluster | nodes | allocatable, each |
//! |---|---|---|
//! | source | 2 `own` | 8 CPU, 20 pods; it is a target of itself in some tests |
//! | us | 5 `us` | 8 CPU, 3 `example.com/slot` |
//! | eu | 5 `eu`, 1 `big` | 8 CPU, 3 `example.com/slot`; `big` has 32 CPU and no slot |

use std::collections::BTreeMap;
use std::time::Duration;

use crate::product::{Product, Role, Scope};
use crate::{Cluster, ClusterOptions, Link, NodePool, Testbed, completing, eventually};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use multicluster_api::{PodChaperon, names};

/// How long controllers may take for what takes them about a second.
pub const SOON: Duration = Duration::from_secs(60);
/// The extended resource of which the nodes have few.
pub const SLOT: &str = "example.com/slot";

/// The clusters that all tests share.
pub struct World {
    /// Source and targets with the product.
    pub product: Product,
    /// The ways to the targets, where a test wants to disturb them.
    pub links: BTreeMap<String, Link>,
}

impl World {
    /// Start the clusters and connect them for all namespaces.
    pub async fn start(testbed: Testbed) -> Result<Self> {
        Self::start_replicated(testbed, 1).await
    }

    /// The same, with so many replicas of each component.
    pub async fn start_replicated(testbed: Testbed, replicas: usize) -> Result<Self> {
        let product = Self::unconnected(&testbed, replicas).await?;
        product.connect_all().await?;
        Ok(Self {
            product,
            links: BTreeMap::new(),
        })
    }

    /// The same, by way of links that a test can disturb.
    pub async fn start_linked(testbed: Testbed) -> Result<Self> {
        let product = Self::unconnected(&testbed, 1).await?;
        let mut links = BTreeMap::new();
        for (name, seat) in &product.targets {
            let link = Link::to(&seat.cluster, 1).await?;
            product.connect_through(&link, name, Scope::Cluster).await?;
            links.insert(name.clone(), link);
        }
        Ok(Self { product, links })
    }

    async fn unconnected(testbed: &Testbed, replicas: usize) -> Result<Product> {
        let pool = |name: &str| {
            NodePool::new(name, 5)
                .label("topology.kubernetes.io/region", name)
                .allocatable("cpu", "8")
                .allocatable(SLOT, "3")
        };
        let big = NodePool::new("big", 1)
            .label("topology.kubernetes.io/region", "eu")
            .label("size", "big");
        let own = NodePool::new("own", 2)
            .allocatable("cpu", "8")
            .allocatable("pods", "20");
        let with_stage = |name: &str, pools: Vec<NodePool>| {
            let mut options = ClusterOptions::new(name, pools);
            options.kwok_config = vec![completing(Duration::from_millis(300), Duration::ZERO)];
            options
        };
        let targets = vec![
            with_stage("us", vec![pool("us")]),
            with_stage("eu", vec![pool("eu"), big]),
        ];
        Product::start_replicated(testbed, with_stage("source", vec![own]), Role::Both, targets, replicas).await
    }

    /// The way to a target.
    pub fn link(&self, target: &str) -> &Link {
        &self.links[target]
    }

    /// The source cluster.
    pub fn source(&self) -> &Cluster {
        &self.product.source.cluster
    }

    /// A target cluster.
    pub fn target(&self, name: &str) -> &Cluster {
        &self.product.target(name).unwrap().cluster
    }

    /// Create or change objects in the source.
    pub async fn apply(&self, object: &serde_json::Value) -> Result<()> {
        self.source().apply_yaml(&object.to_string()).await
    }

    /// Pods of a namespace in the source.
    pub async fn pods(&self, namespace: &str) -> Result<Vec<Pod>> {
        pods(self.source(), namespace, "").await
    }

    /// Delegates of a namespace in a target.
    pub async fn delegates(&self, target: &str, namespace: &str) -> Result<Vec<Pod>> {
        pods(self.target(target), namespace, names::PARENT_UID).await
    }

    /// Chaperons of a namespace in a target.
    pub async fn chaperons(&self, target: &str, namespace: &str) -> Result<Vec<PodChaperon>> {
        let api = Api::<PodChaperon>::namespaced(self.target(target).client(), namespace);
        Ok(api.list(&ListParams::default()).await?.items)
    }

    /// Wait until exactly `count` pods of a namespace run, and none is going. Returns them.
    pub async fn running(&self, namespace: &str, count: usize) -> Result<Vec<Pod>> {
        let what = format!("{count} pods to run in namespace {namespace}");
        eventually(&what, SOON, async || {
            let pods = self.pods(namespace).await?;
            let running = |pod: &&Pod| is_running(pod);
            let done = pods.len() == count && pods.iter().filter(running).count() == count;
            ensure!(done, "{}", describe(&pods));
            Ok(Some(pods))
        })
        .await
    }

    /// How many pods of a namespace each virtual node has.
    pub async fn spread(&self, namespace: &str) -> Result<BTreeMap<String, usize>> {
        let mut spread = BTreeMap::new();
        for pod in self.pods(namespace).await? {
            *spread.entry(node_of(&pod)).or_default() += 1;
        }
        Ok(spread)
    }

    /// Wait until nothing of a namespace's pods is left in the targets.
    pub async fn nothing_left(&self, namespace: &str) -> Result<()> {
        eventually(
            &format!("nothing to be left of namespace {namespace} in the targets"),
            SOON,
            async || {
                for target in self.product.targets.keys() {
                    let (chaperons, delegates) = (
                        self.chaperons(target, namespace).await?.len(),
                        self.delegates(target, namespace).await?.len(),
                    );
                    ensure!(
                        chaperons + delegates == 0,
                        "{target}: {chaperons} chaperons, {delegates} delegates"
                    );
                }
                Ok(Some(()))
            },
        )
        .await
    }

    /// Each pod has exactly one delegate, where its virtual node says, and there are no others.
    pub async fn check_delegates(&self, namespace: &str) -> Result<()> {
        let pods = self.pods(namespace).await?;
        let mut expected: BTreeMap<String, String> =
            pods.iter().map(|pod| (pod.uid().unwrap(), node_of(pod))).collect();
        for target in self.product.targets.keys() {
            let chaperons = self.chaperons(target, namespace).await?;
            for delegate in self.delegates(target, namespace).await? {
                let (name, parent) = (delegate.name_any(), &delegate.labels()[names::PARENT_UID]);
                let node = expected
                    .remove(parent)
                    .with_context(|| format!("{name} in {target} is one too many"))?;
                let chaperon = chaperons.iter().find(|chaperon| chaperon.name_any() == name);
                let through = chaperon.and_then(|chaperon| chaperon.annotations().get(names::VIRTUAL_NODE).cloned());
                ensure!(
                    through.as_ref() == Some(&node),
                    "pod on {node} has its delegate behind {through:?}"
                );
            }
        }
        ensure!(expected.is_empty(), "pods without a delegate: {expected:?}");
        Ok(())
    }

    /// Wait for an event about an object of a namespace in the source, by a part of its message.
    pub async fn event(&self, namespace: &str, message: &str) -> Result<Event> {
        let events = Api::<Event>::namespaced(self.source().client(), namespace);
        eventually(
            &format!("an event with {message:?} in namespace {namespace}"),
            SOON,
            async || {
                let all = events.list(&ListParams::default()).await?.items;
                let found = all
                    .iter()
                    .find(|event| event.message.as_deref().unwrap_or_default().contains(message))
                    .cloned();
                ensure!(
                    found.is_some(),
                    "{:?}",
                    all.iter()
                        .filter_map(|event| event.message.as_deref())
                        .collect::<Vec<_>>()
                );
                Ok(found)
            },
        )
        .await
    }
}

async fn pods(cluster: &Cluster, namespace: &str, labels: &str) -> Result<Vec<Pod>> {
    let api = Api::<Pod>::namespaced(cluster.client(), namespace);
    Ok(api.list(&ListParams::default().labels(labels)).await?.items)
}

/// Runs, is Ready and is not going.
pub fn is_running(pod: &Pod) -> bool {
    let status = pod.status.clone().unwrap_or_default();
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    status.phase.as_deref() == Some("Running") && ready && pod.metadata.deletion_timestamp.is_none()
}

/// The node that a pod is bound to, or empty.
pub fn node_of(pod: &Pod) -> String {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.clone())
        .unwrap_or_default()
}

/// The pod's phase.
pub fn phase(pod: &Pod) -> String {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.clone())
        .unwrap_or_default()
}

/// A few words about pods, for failures.
pub fn describe(pods: &[Pod]) -> String {
    let mut counts: BTreeMap<(String, String, bool), usize> = BTreeMap::new();
    for pod in pods {
        *counts
            .entry((phase(pod), node_of(pod), pod.metadata.deletion_timestamp.is_some()))
            .or_default() += 1;
    }
    let counts = counts
        .into_iter()
        .map(|((phase, node, going), n)| format!("{n} {phase} on {node:?}{}", if going { ", going" } else { "" }));
    counts.collect::<Vec<_>>().join("; ")
}
