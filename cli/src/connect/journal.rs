//! Writes objects, and remembers how to undo it.
//!
//! A write is noted before it is sent: one whose answer was lost is undone, too. A write is never given up half-way for
//! Ctrl-C; that is looked at between writes, and while waiting.

use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, PostParams, Preconditions};
use multicluster_api::names;
use serde_json::Value;
use tokio::time::Instant;

use super::objects::{Object, Side};
use super::plan::{Action, Step, belongs_to};
use crate::contexts::Cluster;
use crate::failure::{Failure, problem};
use crate::progress::Progress;
use crate::resources::Kind;
use crate::words::is_not_found;

/// How long something that is deleted may take to go, before what it needs is deleted.
const GONE: Duration = Duration::from_secs(30);
/// How often is looked.
pub const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Both clusters.
pub struct Pair {
    /// The source.
    pub source: Cluster,
    /// The target.
    pub target: Cluster,
}

impl Pair {
    /// One of them.
    pub fn of(&self, side: Side) -> &Cluster {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// What has been written.
pub struct Journal {
    connection: String,
    /// Objects, with what they were before.
    done: Vec<(Object, Option<DynamicObject>)>,
}

impl Journal {
    /// Nothing yet.
    pub fn new(connection: String) -> Self {
        Self {
            connection,
            done: vec![],
        }
    }

    /// Do a step.
    pub async fn write(&mut self, clusters: &Pair, step: Step) -> Result<(), Failure> {
        let Step { object, action, before } = step;
        let cluster = clusters.of(object.side);
        let api = object.kind.api(&cluster.client, object.namespace.as_deref());
        let body = object.body(&self.connection);
        let what = object.describe();
        let failed = |error: kube::Error| problem(format!("{what}: {}", cluster.words(&error)));
        match (action, before) {
            (Action::Keep, _) => {}
            (Action::Repair, Some(before)) => {
                self.done.push((object, Some(before.clone())));
                let object = merge(before, &body).map_err(|error| problem(error.to_string()))?;
                let name = object.metadata.name.clone().unwrap_or_default();
                api.replace(&name, &PostParams::default(), &object)
                    .await
                    .map_err(failed)?;
            }
            (Action::Create | Action::Repair, _) => {
                let object_body = serde_json::from_value(body).map_err(|error| problem(error.to_string()))?;
                self.done.push((object, None));
                api.create(&PostParams::default(), &object_body).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Undo all, the last first. What cannot be undone is told; the texts say what is left.
    pub async fn undo(self, clusters: &Pair, progress: &Progress) -> Vec<String> {
        let mut left = Vec::new();
        for (object, before) in self.done.into_iter().rev() {
            let cluster = clusters.of(object.side);
            let what = object.describe();
            progress.wait(&format!("undoing: {what} in {}", cluster.context));
            let undone = match before {
                None => remove(cluster, &object, &self.connection).await,
                Some(before) => restore(cluster, &object, before).await,
            };
            match undone {
                Ok(()) => tracing::info!(%what, context = cluster.context, "undone"),
                Err(error) => left.push(format!("{what} in {}: {}", cluster.context, cluster.words(&error))),
            }
        }
        left
    }
}

/// Write an object of an earlier run anew: marks are added, the content is replaced.
fn merge(mut before: DynamicObject, body: &Value) -> Result<DynamicObject, serde_json::Error> {
    let wanted: DynamicObject = serde_json::from_value(body.clone())?;
    before
        .metadata
        .labels
        .get_or_insert_default()
        .extend(wanted.metadata.labels.unwrap_or_default());
    let annotations = before.metadata.annotations.get_or_insert_default();
    annotations.extend(wanted.metadata.annotations.unwrap_or_default());
    for field in ["spec", "data"] {
        if let Some(content) = body.get(field) {
            before.data[field] = content.clone();
        }
    }
    before.metadata.managed_fields = None;
    Ok(before)
}

/// Delete what this connection has made, if it is there, and wait until it is gone.
pub async fn remove(cluster: &Cluster, object: &Object, connection: &str) -> Result<(), kube::Error> {
    let api = object.kind.api(&cluster.client, object.namespace.as_deref());
    let Some(found) = api.get_opt(&object.name).await? else {
        return Ok(());
    };
    if belongs_to(&found) != Some(connection) {
        return Ok(());
    }
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: found.metadata.uid.clone(),
            resource_version: None,
        }),
        ..Default::default()
    };
    match api.delete(&object.name, &params).await {
        Err(error) if is_not_found(&error) => return Ok(()),
        deleted => drop(deleted?),
    }
    let deadline = Instant::now() + GONE;
    let same = |now: &DynamicObject| now.metadata.uid == found.metadata.uid;
    while Instant::now() < deadline && api.get_opt(&object.name).await?.is_some_and(|now| same(&now)) {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    if matches!(object.kind, Kind::Target | Kind::ClusterTarget) {
        node_gone(cluster, &found, deadline).await?;
    }
    if object.kind == Kind::Kubeconfig {
        // The garbage collector takes it; whoever connects again at once shall not stumble over it.
        secret_gone(cluster, object, deadline).await?;
    }
    Ok(())
}

/// The agent needs the credentials until the virtual node is gone.
async fn node_gone(cluster: &Cluster, target: &DynamicObject, deadline: Instant) -> Result<(), kube::Error> {
    let node = target.data["status"]["virtualNodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        return Ok(());
    }
    let nodes = kube::Api::<k8s_openapi::api::core::v1::Node>::all(cluster.client.clone());
    while Instant::now() < deadline && nodes.get_metadata_opt(node).await?.is_some() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

async fn secret_gone(cluster: &Cluster, kubeconfig: &Object, deadline: Instant) -> Result<(), kube::Error> {
    let secrets = Kind::Secret.api(&cluster.client, kubeconfig.namespace.as_deref());
    let name = kubeconfig
        .content
        .as_ref()
        .and_then(|spec| spec["secretName"].as_str())
        .unwrap_or(&kubeconfig.name);
    let issued = |secret: &kube::core::PartialObjectMeta<DynamicObject>| {
        let annotations = secret.metadata.annotations.as_ref();
        annotations.is_some_and(|annotations| annotations.contains_key(names::ISSUED_FOR))
    };
    while Instant::now() < deadline {
        match secrets.get_metadata_opt(name).await? {
            Some(secret) if issued(&secret) => tokio::time::sleep(LOOK_AGAIN).await,
            _ => break,
        }
    }
    Ok(())
}

async fn restore(cluster: &Cluster, object: &Object, before: DynamicObject) -> Result<(), kube::Error> {
    let api = object.kind.api(&cluster.client, object.namespace.as_deref());
    let Some(mut now) = api
        .get_opt(&object.name)
        .await?
        .filter(|now| now.metadata.uid == before.metadata.uid)
    else {
        return Ok(());
    };
    now.metadata.labels = before.metadata.labels;
    now.metadata.annotations = before.metadata.annotations;
    now.metadata.managed_fields = None;
    if let Some(field) = object.kind.content() {
        now.data[field] = before.data[field].clone();
    }
    api.replace(&object.name, &PostParams::default(), &now).await.map(drop)
}

#[cfg(test)]
mod tests {
    use multicluster_api::TargetRef;
    use serde_json::json;

    use super::super::{objects, request::Request};
    use super::*;

    #[test]
    fn a_repair_replaces_the_content_and_keeps_what_others_added() {
        let request = Request {
            target: TargetRef::namespaced("default", "eu"),
            source_name: "m".into(),
        };
        let object = objects::target(&request);
        let mut before = object.body("id/node");
        before["metadata"]["labels"]["theirs"] = json!("yes");
        before["spec"] = json!({ "self": true });
        let body = object.body("id/node");
        let merged = merge(serde_json::from_value(before).unwrap(), &body).unwrap();
        assert_eq!(merged.data["spec"], body["spec"]);
        let labels = merged.metadata.labels.unwrap();
        assert_eq!(labels["theirs"], "yes");
        assert_eq!(labels[names::MANAGED_BY], names::MANAGED_BY_CLI);
    }
}
