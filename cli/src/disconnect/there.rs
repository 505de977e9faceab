//! The target's side of `disconnect`.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, ResourceExt};
use multicluster_api::{ClusterSource, PodChaperon, Source, TargetRef, names};

use super::{Disconnected, delete};
use crate::connect::journal::Pair;
use crate::connect::plan::belongs_to;
use crate::connect::wait::Patience;
use crate::contexts::Cluster;
use crate::failure::{Failure, problem};
use crate::installed;
use crate::progress::Progress;
use crate::resources::Kind;
use crate::words::is_not_found;

/// The target, if it answers and is the one that the Target leads to. With `force` one that does not answer is left out.
pub async fn check(
    cluster: Cluster,
    target: &DynamicObject,
    force: bool,
    progress: &Progress,
) -> Result<Option<Cluster>, Failure> {
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    let id = match namespaces.get_metadata(installed::KUBE_SYSTEM).await {
        Ok(found) => found.metadata.uid,
        Err(error) if force => {
            progress.warn(&cluster.words(&error));
            return Ok(None);
        }
        Err(error) => {
            return Err(problem(format!(
                "nothing has been done: {}. Write --force to disconnect without the target",
                cluster.words(&error)
            )));
        }
    };
    let leads_to = target.data["status"]["clusterID"].as_str();
    if leads_to.is_some() && id.is_some() && leads_to != id.as_deref() {
        return Err(problem(format!(
            "nothing has been done: {} is not the cluster that {} leads to: write another --target CONTEXT",
            cluster.context,
            target.name_any()
        )));
    }
    Ok(Some(cluster))
}

/// What connect has made in a target that is not looked at.
pub fn left(found: &DynamicObject, target: &TargetRef) -> Vec<String> {
    let Some(name) = found.annotations().get(names::CONNECTED_AS) else {
        return vec![];
    };
    let namespace = target.namespace.as_deref().unwrap_or(names::INSTALL_NAMESPACE);
    let source = match &target.namespace {
        Some(namespace) => format!("Source {namespace}/{name}"),
        None => format!("ClusterSource {name}"),
    };
    vec![format!(
        "{source} in the target, ServiceAccount {namespace}/{name} or TrustedIdentityProvider {}/{name}, and pods of this \
         source that the agent could not take back",
        names::INSTALL_NAMESPACE
    )]
}

/// Delete what this connection has made in the target, after its last chaperon.
pub async fn clean(
    pair: &Pair,
    connection: &str,
    done: &mut Disconnected,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    let (cluster, progress) = (&pair.target, patience.progress);
    let ours = users_of(cluster, connection).await?;
    chaperons_gone(cluster, connection, &ours, patience).await?;
    for kind in [Kind::Source, Kind::ClusterSource, Kind::ServiceAccount] {
        for found in marked(cluster, kind).await? {
            if belongs_to(&found) == Some(connection) {
                delete(cluster, &found, kind, done, progress).await?;
            }
        }
    }
    let users = users(cluster).await?;
    let source = connection.split('/').next().unwrap_or_default();
    for found in marked(cluster, Kind::TrustedIdentityProvider).await? {
        let ours = belongs_to(&found).is_some_and(|other| other.split('/').next() == Some(source));
        let prefix = found.data["spec"]["prefix"].as_str().unwrap_or_default();
        match (
            ours,
            users.iter().any(|user| !prefix.is_empty() && user.starts_with(prefix)),
        ) {
            (true, false) => delete(cluster, &found, Kind::TrustedIdentityProvider, done, progress).await?,
            (true, true) => done.kept.push(format!(
                "TrustedIdentityProvider {}/{} in {}: other connections use it",
                found.namespace().unwrap_or_default(),
                found.name_any(),
                cluster.context
            )),
            _ => {}
        }
    }
    for found in marked(cluster, Kind::Namespace).await? {
        if belongs_to(&found) == Some(connection) {
            done.kept.push(format!(
                "Namespace {} in {}: connect has made it, but others may use it",
                found.name_any(),
                cluster.context
            ));
        }
    }
    Ok(())
}

async fn marked(cluster: &Cluster, kind: Kind) -> Result<Vec<DynamicObject>, Failure> {
    let ours = ListParams::default().labels(&format!("{}={}", names::MANAGED_BY, names::MANAGED_BY_CLI));
    match kind.api(&cluster.client, None).list(&ours).await {
        Ok(list) => Ok(list.items),
        Err(error) if is_not_found(&error) => Ok(vec![]),
        Err(error) => Err(cluster.problem(&error)),
    }
}

/// The users that Sources and ClusterSources name.
async fn users(cluster: &Cluster) -> Result<Vec<String>, Failure> {
    let all = ListParams::default();
    let (sources, cluster_sources) = (
        Api::<Source>::all(cluster.client.clone()),
        Api::<ClusterSource>::all(cluster.client.clone()),
    );
    let (sources, cluster_sources) = futures::join!(sources.list(&all), cluster_sources.list(&all));
    let sources = sources.map_err(|error| cluster.problem(&error))?.items;
    let cluster_sources = cluster_sources.map_err(|error| cluster.problem(&error))?.items;
    let living = sources
        .into_iter()
        .filter(|source| source.metadata.deletion_timestamp.is_none());
    let users = living.filter_map(|source| source.spec.user_name);
    let living = cluster_sources
        .into_iter()
        .filter(|source| source.metadata.deletion_timestamp.is_none());
    Ok(users.chain(living.filter_map(|source| source.spec.user_name)).collect())
}

/// The users that the Sources of this connection name, as the API server knows them.
async fn users_of(cluster: &Cluster, connection: &str) -> Result<Vec<String>, Failure> {
    let mut users = vec![];
    for kind in [Kind::Source, Kind::ClusterSource] {
        for found in marked(cluster, kind)
            .await?
            .iter()
            .filter(|found| belongs_to(found) == Some(connection))
        {
            let spec = &found.data["spec"];
            let account = |namespace: &str, name: &str| format!("system:serviceaccount:{namespace}:{name}");
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            users.push(match (spec["userName"].as_str(), spec["serviceAccountName"].as_str()) {
                (Some(user), _) => user.to_owned(),
                (None, Some(name)) => account(&found.namespace().unwrap_or_default(), name),
                (None, None) => {
                    let reference = &spec["serviceAccount"];
                    account(&text(&reference["namespace"]), &text(&reference["name"]))
                }
            });
        }
    }
    Ok(users)
}

/// The agent of the source takes them back by the credentials that are deleted next.
async fn chaperons_gone(
    cluster: &Cluster,
    connection: &str,
    users: &[String],
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    let node = connection.split_once('/').map_or(connection, |(_, node)| node);
    let chaperons = Api::<PodChaperon>::all(cluster.client.clone());
    let ask = async || {
        let all = chaperons.list_metadata(&ListParams::default()).await?.items;
        let ours = |one: &&kube::core::PartialObjectMeta<PodChaperon>| {
            let annotation = |key: &str| one.annotations().get(key).map(String::as_str);
            // Another source may have a virtual node of the same name.
            let user = annotation(names::SOURCE_USER).is_some_and(|user| users.iter().any(|ours| ours == user));
            user && annotation(names::VIRTUAL_NODE) == Some(node)
        };
        Ok(match all.iter().filter(ours).count() {
            0 => Ok(()),
            left => Err(format!("{left} PodChaperons are left")),
        })
    };
    let what = format!("the end of this source's pods in {}", cluster.context);
    let advice = "Is a finalizer in the way? The permissions there have not been deleted: run disconnect again, or delete the rest by hand";
    patience.until(&what, advice, ask, |error| cluster.words(error)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_in_an_unreachable_target_is_named() {
        let target = TargetRef::namespaced("default", "eu");
        let found = |annotations: serde_json::Value| {
            let metadata = json!({ "name": "eu", "annotations": annotations });
            serde_json::from_value(json!({ "apiVersion": "a/v1", "kind": "Target", "metadata": metadata })).unwrap()
        };
        let left_there = left(&found(json!({ names::CONNECTED_AS: "management" })), &target);
        assert!(left_there[0].starts_with("Source default/management"), "{left_there:?}");
        assert!(left(&found(json!({})), &target).is_empty());
    }
}
