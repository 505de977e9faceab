//! Looks at all clusters with plain list calls, straight to their API servers: it trusts no component and no watch.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::labels::delegate_key;
use multicluster_api::{PodChaperon, names};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use super::Clock;
use super::churn::APP;
use super::history::{Delegate, ProxyPod, Read, Snapshot, Source, Status, Target, Workload};
use super::schedule::{Place, TARGETS};
use super::world::{WORKLOADS, World};
use crate::{Cluster, kubeconfig};

/// Between the begins of two looks.
const PERIOD: Duration = Duration::from_millis(800);
/// How long a cluster may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that was seen so far.
pub type History = Arc<Mutex<Vec<Snapshot>>>;

/// Looks at all clusters, with clients of its own.
pub struct Observer {
    clock: Clock,
    source: Client,
    targets: Vec<Client>,
    nodes: BTreeMap<String, usize>,
}

impl Observer {
    /// An observer of this world.
    pub async fn new(world: &World, clock: Clock) -> Result<Self> {
        let mut targets = Vec::new();
        for index in 0..TARGETS.len() {
            targets.push(client(&world.seat(Place::Target(index))?.cluster).await?);
        }
        Ok(Self {
            clock,
            source: client(&world.seat(Place::Source)?.cluster).await?,
            targets,
            nodes: world.nodes.iter().cloned().zip(0..).collect(),
        })
    }

    /// Look again and again.
    pub async fn run(self, history: History) {
        loop {
            let next = tokio::time::Instant::now() + PERIOD;
            let targets = self.targets.iter().map(|client| self.read(target(client)));
            let (source, targets) = tokio::join!(self.read(self.look_at_source()), futures::future::join_all(targets));
            history.lock().push(Snapshot { source, targets });
            tokio::time::sleep_until(next).await;
        }
    }

    async fn read<T>(&self, look: impl Future<Output = kube::Result<T>>) -> Option<Read<T>> {
        let asked = self.clock.now();
        let seen = tokio::time::timeout(TIMEOUT, look).await.ok()?.ok()?;
        Some(Read {
            asked,
            answered: self.clock.now(),
            seen,
        })
    }

    async fn look_at_source(&self) -> kube::Result<Source> {
        let client = &self.source;
        let virtual_nodes = ListParams::default().labels(&format!("{}={}", names::PROVIDER, names::PROVIDER_VALUE));
        let nodes = Api::<Node>::all(client.clone());
        let (pods, nodes, deployments, sets, jobs) = tokio::try_join!(
            list::<Pod>(client),
            nodes.list(&virtual_nodes),
            list::<Deployment>(client),
            list::<StatefulSet>(client),
            list::<Job>(client),
        )?;
        let workloads = deployments.iter().map(deployment);
        let workloads = workloads
            .chain(sets.iter().map(stateful_set))
            .chain(jobs.iter().map(job));
        Ok(Source {
            pods: pods.iter().map(|pod| self.proxy_pod(pod)).collect(),
            workloads: workloads.collect(),
            nodes: nodes
                .iter()
                .map(|node| (node.name_any(), crate::nodes::is_ready(node)))
                .collect(),
        })
    }

    fn proxy_pod(&self, pod: &Pod) -> ProxyPod {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        ProxyPod {
            uid: pod.uid().unwrap_or_default(),
            name: pod.name_any(),
            workload: pod.labels().get(APP).cloned().unwrap_or_default(),
            target: node.and_then(|node| self.nodes.get(node).copied()),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            held: pod.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER),
            status: status(pod),
        }
    }
}

async fn target(client: &Client) -> kube::Result<Target> {
    let chaperons = Api::<PodChaperon>::namespaced(client.clone(), WORKLOADS);
    let parameters = ListParams::default();
    let (pods, chaperons) = tokio::try_join!(list::<Pod>(client), chaperons.list_metadata(&parameters))?;
    Ok(Target {
        delegates: pods.iter().map(delegate).collect(),
        chaperons: chaperons.iter().map(PartialObjectMeta::name_any).collect(),
    })
}

fn delegate(pod: &Pod) -> Delegate {
    let label = |key: &str| pod.labels().get(key).cloned().unwrap_or_default();
    Delegate {
        uid: pod.uid().unwrap_or_default(),
        parent_uid: label(names::PARENT_UID),
        parent_name: pod.annotations().get(names::PARENT_NAME).cloned().unwrap_or_default(),
        workload: label(&delegate_key(APP)),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        status: status(pod),
    }
}

fn status(pod: &Pod) -> Status {
    let Some(status) = &pod.status else {
        return Status::default();
    };
    let mut conditions = status.conditions.iter().flatten();
    let containers = status.container_statuses.iter().flatten();
    Status {
        phase: status.phase.clone().unwrap_or_default(),
        ready: conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        ip: status.pod_ip.clone(),
        containers: containers.map(|c| (c.name.clone(), c.ready, c.restart_count)).collect(),
    }
}

fn deployment(object: &Deployment) -> Workload {
    let (spec, status) = (object.spec.as_ref(), object.status.as_ref());
    let seen = status.filter(|status| status.observed_generation == object.metadata.generation);
    // More than desired is as wrong as less.
    let actual = |status: &k8s_openapi::api::apps::v1::DeploymentStatus| {
        let (all, ready) = (status.replicas.unwrap_or(0), status.ready_replicas.unwrap_or(0));
        if all > ready { None } else { Some(ready) }
    };
    workload(object, spec.and_then(|spec| spec.replicas), seen.and_then(actual))
}

fn stateful_set(object: &StatefulSet) -> Workload {
    let (spec, status) = (object.spec.as_ref(), object.status.as_ref());
    let seen = status.filter(|status| status.observed_generation == object.metadata.generation);
    let actual = |status: &k8s_openapi::api::apps::v1::StatefulSetStatus| {
        let ready = status.ready_replicas.unwrap_or(0);
        (status.replicas <= ready).then_some(ready)
    };
    workload(object, spec.and_then(|spec| spec.replicas), seen.and_then(actual))
}

fn job(object: &Job) -> Workload {
    let completions = object.spec.as_ref().and_then(|spec| spec.completions);
    let succeeded = object.status.as_ref().and_then(|status| status.succeeded);
    workload(object, completions, Some(succeeded.unwrap_or(0)))
}

fn workload<K: ResourceExt>(object: &K, desired: Option<i32>, actual: Option<i32>) -> Workload {
    let count = |number: i32| usize::try_from(number).unwrap_or(0);
    Workload {
        name: object.name_any(),
        desired: count(desired.unwrap_or(1)),
        actual: actual.map(count),
    }
}

async fn list<K>(client: &Client) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), WORKLOADS);
    Ok(api.list(&ListParams::default()).await?.items)
}

async fn client(cluster: &Cluster) -> Result<Client> {
    kubeconfig::client(&std::fs::read_to_string(cluster.kubeconfig())?).await
}
