//! Reads what an explanation needs.

use futures::try_join;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use multicluster_api::chaperon::chaperon_name;
use multicluster_api::{ClusterTarget, PodChaperon, Target, names};

use super::decide::Evidence;
use crate::contexts::Cluster;
use crate::failure::{Failure, problem};

/// Read it.
pub async fn gather(
    source: &Cluster,
    target: Option<&Cluster>,
    namespace: &str,
    name: &str,
) -> Result<Evidence, Failure> {
    let client = &source.client;
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let pod = pods.get_opt(name).await.map_err(|error| source.problem(&error))?;
    let pod = pod.ok_or_else(|| {
        problem(format!(
            "{} has no pod {name} in namespace {namespace}: write --namespace NAME. A pod that cannot be created says why in \
             the events of its ReplicaSet, StatefulSet or Job",
            source.context
        ))
    })?;
    let (all, ours) = (
        ListParams::default(),
        format!("{}={}", names::PROVIDER, names::PROVIDER_VALUE),
    );
    let of_nodes = ListParams::default().labels(&ours);
    let (namespaces, targets) = (
        Api::<Namespace>::all(client.clone()),
        Api::<Target>::all(client.clone()),
    );
    let (cluster_targets, nodes) = (
        Api::<ClusterTarget>::all(client.clone()),
        Api::<Node>::all(client.clone()),
    );
    let (namespace_object, targets, cluster_targets, nodes) = try_join!(
        namespaces.get_metadata(namespace),
        targets.list(&all),
        cluster_targets.list(&all),
        nodes.list(&of_nodes),
    )
    .map_err(|error| source.problem(&error))?;
    let served = namespace_object
        .labels()
        .get(names::NAMESPACE_LABEL)
        .map(String::as_str)
        == Some(names::NAMESPACE_LABEL_ENABLED);
    let uid = pod.uid().unwrap_or_default();
    let mut evidence = Evidence {
        context: source.context.clone(),
        served,
        targets: targets
            .iter()
            .map(Into::into)
            .chain(cluster_targets.iter().map(Into::into))
            .collect(),
        nodes: nodes.items,
        events: events_of(source, namespace, &format!("involvedObject.uid={uid}")).await?,
        pod,
        ..Evidence::default()
    };
    if let Some(target) = target {
        let name = chaperon_name(name, &uid);
        let chaperons = Api::<PodChaperon>::namespaced(target.client.clone(), namespace);
        evidence.chaperon = Some(chaperons.get_opt(&name).await.map_err(|error| target.problem(&error))?);
        evidence.target_events = events_of(target, namespace, &format!("involvedObject.name={name}")).await?;
    }
    Ok(evidence)
}

async fn events_of(cluster: &Cluster, namespace: &str, which: &str) -> Result<Vec<Event>, Failure> {
    let events = Api::<Event>::namespaced(cluster.client.clone(), namespace);
    let found = events.list(&ListParams::default().fields(which)).await;
    Ok(found.map_err(|error| cluster.problem(&error))?.items)
}
