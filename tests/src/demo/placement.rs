//! Where every pod runs, read from all clusters at one time.

use std::collections::BTreeMap;

use anyhow::Result;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use multicluster_api::names;

use super::clusters::{WORKLOAD, virtual_node};
use super::table::Table;
use crate::product::Product;

/// The namespace of the demo.
pub const NAMESPACE: &str = "default";

/// Where every pod runs.
pub struct Placement {
    pods: Vec<Placed>,
    /// Delegates whose proxy pod is gone.
    orphans: usize,
}

/// A pod in the management cluster, and its delegate.
struct Placed {
    name: String,
    deployment: String,
    cluster: Option<&'static str>,
    node: String,
    status: Status,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    /// On no virtual node.
    Waiting,
    /// On a virtual node, but the delegate does not run yet, or the proxy pod does not show it yet.
    Starting,
    /// Running and Ready in both clusters.
    Running,
    /// Being deleted.
    Ending,
}

/// A delegate and the workload cluster it is in.
type Delegate = (&'static str, Pod);

impl Placement {
    /// Ask all clusters.
    pub async fn read(product: &Product) -> Result<Self> {
        let list = async |cluster: &'static str| -> Result<Vec<Delegate>> {
            let pods = Api::<Pod>::namespaced(product.target(cluster)?.cluster.client(), NAMESPACE);
            let delegates = pods.list(&ListParams::default().labels(names::PARENT_UID)).await?;
            Ok(delegates.into_iter().map(|pod| (cluster, pod)).collect())
        };
        let delegates = try_join_all(WORKLOAD.map(list)).await?;
        let proxies = Api::<Pod>::namespaced(product.source.cluster.client(), NAMESPACE);
        let proxies = proxies.list(&ListParams::default()).await?.items;
        Ok(Self::join(&proxies, delegates.into_iter().flatten()))
    }

    fn join(proxies: &[Pod], delegates: impl Iterator<Item = Delegate>) -> Self {
        let mut by_parent: BTreeMap<String, Vec<Delegate>> = BTreeMap::new();
        for (cluster, pod) in delegates {
            let parent = pod.labels().get(names::PARENT_UID).cloned().unwrap_or_default();
            by_parent.entry(parent).or_default().push((cluster, pod));
        }
        let mut pods: Vec<Placed> = proxies
            .iter()
            .map(|proxy| {
                Placed::new(
                    proxy,
                    &by_parent.remove(&proxy.uid().unwrap_or_default()).unwrap_or_default(),
                )
            })
            .collect();
        pods.sort_by(|a, b| {
            (&a.deployment, a.cluster, &a.node, &a.name).cmp(&(&b.deployment, b.cluster, &b.node, &b.name))
        });
        Self {
            pods,
            orphans: by_parent.values().map(Vec::len).sum(),
        }
    }

    /// Nothing is on its way: each pod either waits for a virtual node or runs, and no delegate is without its pod.
    pub fn is_settled(&self) -> bool {
        let busy = |pod: &Placed| matches!(pod.status, Status::Starting | Status::Ending);
        self.orphans == 0 && !self.pods.iter().any(busy)
    }

    /// How many pods of a Deployment run in a cluster.
    pub fn running(&self, deployment: &str, cluster: &str) -> usize {
        self.count(|pod| pod.deployment == deployment && pod.cluster == Some(cluster) && pod.status == Status::Running)
    }

    /// How many pods of a Deployment wait for a virtual node.
    pub fn waiting(&self, deployment: &str) -> usize {
        self.count(|pod| pod.deployment == deployment && pod.status == Status::Waiting)
    }

    /// No pods, no delegates.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.orphans == 0
    }

    /// One line that says how far things are.
    pub fn progress(&self) -> String {
        let [running, starting, waiting, ending] = [Status::Running, Status::Starting, Status::Waiting, Status::Ending]
            .map(|status| self.count(|pod| pod.status == status));
        let mut parts = vec![format!("{running} running")];
        for (count, what) in [
            (starting, "starting"),
            (waiting, "waiting"),
            (ending + self.orphans, "ending"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        parts.join(", ")
    }

    /// How many pods of each Deployment run in each cluster.
    pub fn counts(&self) -> Table {
        let mut table = Table::new(["Deployment"].into_iter().chain(WORKLOAD).chain(["waiting"]));
        let mut deployments: Vec<&str> = self.pods.iter().map(|pod| pod.deployment.as_str()).collect();
        deployments.dedup();
        for deployment in deployments {
            let running = WORKLOAD.map(|cluster| cell(self.running(deployment, cluster)));
            let waiting = cell(self.waiting(deployment));
            table.row([deployment.to_owned()].into_iter().chain(running).chain([waiting]));
        }
        table
    }

    /// Every pod: its cluster, the node there, its status.
    pub fn details(&self) -> Table {
        let mut table = Table::new(["Pod", "Cluster", "Node", "Status"]);
        for pod in &self.pods {
            let status = match pod.status {
                Status::Waiting => "Waiting",
                Status::Starting => "Starting",
                Status::Running => "Running",
                Status::Ending => "Ending",
            };
            table.row([pod.name.as_str(), pod.cluster.unwrap_or("-"), &pod.node, status]);
        }
        table
    }

    fn count(&self, is: impl Fn(&Placed) -> bool) -> usize {
        self.pods.iter().filter(|pod| is(pod)).count()
    }
}

impl Placed {
    fn new(proxy: &Pod, delegates: &[Delegate]) -> Self {
        let virtual_node_name = proxy.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let cluster = WORKLOAD
            .into_iter()
            .find(|cluster| virtual_node_name == Some(virtual_node(cluster).as_str()));
        let node = match delegates {
            [(_, delegate)] => delegate.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            _ => None,
        };
        let status = match delegates {
            _ if proxy.metadata.deletion_timestamp.is_some() => Status::Ending,
            [] if virtual_node_name.is_none() => Status::Waiting,
            // One delegate, in the cluster of the virtual node: anything else is not what was promised.
            [(place, delegate)] if Some(*place) == cluster && is_ready(proxy) && is_ready(delegate) => Status::Running,
            _ => Status::Starting,
        };
        Self {
            name: proxy.name_any(),
            deployment: deployment(proxy),
            cluster,
            node: node.unwrap_or_else(|| "-".to_owned()),
            status,
        }
    }
}

/// Zeros would hide the numbers that matter.
fn cell(count: usize) -> String {
    if count == 0 { "-".to_owned() } else { count.to_string() }
}

/// The Deployment that a pod belongs to: the name of its ReplicaSet without the hash of the template.
fn deployment(pod: &Pod) -> String {
    let owner = pod
        .owner_references()
        .first()
        .map(|owner| owner.name.as_str())
        .unwrap_or_default();
    let (name, _hash) = owner.rsplit_once('-').unwrap_or((owner, ""));
    name.to_owned()
}

fn is_ready(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let ready =
        |condition: &k8s_openapi::api::core::v1::PodCondition| condition.type_ == "Ready" && condition.status == "True";
    status.phase.as_deref() == Some("Running") && status.conditions.iter().flatten().any(ready)
}
