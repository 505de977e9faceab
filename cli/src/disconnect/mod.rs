//! `disconnect`: takes away what `connect` has made.
//!
//! The Target goes first, and the credentials after its virtual node: the agent needs them to take its pods back.

pub mod drain;
pub mod there;

use std::io::{BufRead, IsTerminal, Write};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::{Api, ResourceExt};
use multicluster_api::{TargetRef, names};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::args::{Disconnect, Global};
use crate::connect::journal::Pair;
use crate::connect::plan::belongs_to;
use crate::connect::request::target_ref;
use crate::connect::wait::Patience;
use crate::contexts::{Cluster, Contexts};
use crate::failure::{Failure, problem};
use crate::output;
use crate::progress::Progress;
use crate::resources::Kind;
use crate::words::is_not_found;

/// What has been taken away.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disconnected {
    /// `Target` or `ClusterTarget`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The virtual node that stood for it.
    pub virtual_node: String,
    /// How many pods were on it.
    pub pods: usize,
    /// What was deleted, with its context.
    pub deleted: Vec<String>,
    /// What stays, and why.
    pub kept: Vec<String>,
}

/// Take a connection away.
pub async fn run(global: &Global, flags: &Disconnect, stop: &CancellationToken) -> Result<(), Failure> {
    let progress = Progress::new();
    let contexts = Contexts::read(global)?;
    let source = contexts.cluster(flags.source.as_deref()).await?;
    let target = target_ref(&flags.scope, flags.name.clone(), &source.namespace)?;
    let found = find(&source, &target).await?;
    let there = match &flags.target {
        Some(context) => there::check(contexts.cluster(Some(context)).await?, &found, flags.force, &progress).await?,
        None => None,
    };
    let ours = belongs_to(&found).map(str::to_owned);
    if there.is_none() && ours.is_some() && !flags.force {
        return Err(Failure::Usage(format!(
            "write --target CONTEXT, so that what connect has made in the target goes, too; or --force to leave it there ({})",
            there::left(&found, &target).join(", ")
        )));
    }
    let node = node_of(&found, &target);
    let pods = pods_on(&source, &node).await?;
    confirm(flags, &target, pods.len())?;
    let patience = Patience {
        timeout: flags.timeout,
        stop,
        progress: &progress,
    };
    if flags.drain {
        drain::drain(&source, &node, &patience).await?;
    }
    let mut done = Disconnected {
        kind: target.kind().into(),
        name: target.name.clone(),
        namespace: target.namespace.clone(),
        virtual_node: node.clone(),
        pods: pods.len(),
        ..Disconnected::default()
    };
    delete(&source, &found, kind_of(&target), &mut done, &progress).await?;
    node_gone(&source, &node, &patience).await?;
    let namespace = target.namespace.as_deref().unwrap_or(names::INSTALL_NAMESPACE);
    for kind in [Kind::Kubeconfig, Kind::Secret] {
        remove_ours(
            &source,
            kind,
            namespace,
            &target.name,
            ours.as_deref(),
            &mut done,
            &progress,
        )
        .await?;
    }
    match (&there, &ours) {
        (Some(cluster), Some(connection)) => {
            let pair = Pair {
                source: source.clone(),
                target: cluster.clone(),
            };
            there::clean(&pair, connection, &mut done, &patience).await?;
        }
        (None, Some(_)) => done.kept.extend(there::left(&found, &target)),
        (_, None) => done.kept.push(format!(
            "what lets {target} in, in the target: connect has not made this {}",
            target.kind()
        )),
    }
    output::write(global.output, &done, || done.people())
}

impl Disconnected {
    fn people(&self) -> String {
        let mut text = format!(
            "{} is disconnected: {} objects deleted\n",
            self.virtual_node,
            self.deleted.len()
        );
        if !self.kept.is_empty() {
            text += "left where it is:\n";
            self.kept.iter().for_each(|kept| text += &format!("  {kept}\n"));
        }
        text
    }
}

async fn find(source: &Cluster, target: &TargetRef) -> Result<DynamicObject, Failure> {
    let api = kind_of(target).api(&source.client, target.namespace.as_deref());
    let found = api
        .get_opt(&target.name)
        .await
        .map_err(|error| source.problem(&error))?;
    if let Some(found) = found {
        return Ok(found);
    }
    let all = kind_of(target)
        .api(&source.client, None)
        .list(&ListParams::default())
        .await;
    let all = all.map_err(|error| source.problem(&error))?.items;
    let names: Vec<_> = all
        .iter()
        .map(|object| match object.namespace() {
            Some(namespace) => format!("{namespace}/{}", object.name_any()),
            None => object.name_any(),
        })
        .collect();
    let there_are = match names.is_empty() {
        true => "there is none at all".to_owned(),
        false => format!("there are {}", names.join(", ")),
    };
    Err(Failure::Usage(format!(
        "{} has no {} {target}: {there_are}. Write --namespace NAME, or --cluster for a ClusterTarget",
        source.context,
        target.kind()
    )))
}

fn kind_of(target: &TargetRef) -> Kind {
    match target.namespace {
        Some(_) => Kind::Target,
        None => Kind::ClusterTarget,
    }
}

fn node_of(found: &DynamicObject, target: &TargetRef) -> String {
    let node = found.data["status"]["virtualNodeName"].as_str();
    node.map_or_else(|| target.virtual_node().into(), str::to_owned)
}

/// Pods on a node that are not at their end.
pub async fn pods_on(cluster: &Cluster, node: &str) -> Result<Vec<Pod>, Failure> {
    let pods = Api::<Pod>::all(cluster.client.clone());
    let on_it = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = pods.list(&on_it).await.map_err(|error| cluster.problem(&error))?.items;
    let ended = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    Ok(pods.into_iter().filter(|pod| !ended(pod)).collect())
}

fn confirm(flags: &Disconnect, target: &TargetRef, pods: usize) -> Result<(), Failure> {
    if flags.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "{pods} pods run by {target}: write --yes to disconnect it without being asked"
        )));
    }
    let becomes = match (pods, flags.drain) {
        (0, _) => String::new(),
        (_, true) => " They are evicted first, and their controllers make new ones elsewhere.".to_owned(),
        (_, false) => " They are deleted, and their controllers make new ones elsewhere.".to_owned(),
    };
    anstream::eprint!("{pods} pods run by {target}.{becomes} Disconnect it? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(problem("nothing has been done")),
    }
}

/// Delete an object, if it is still the one that was looked at.
pub async fn delete(
    cluster: &Cluster,
    found: &DynamicObject,
    kind: Kind,
    done: &mut Disconnected,
    progress: &Progress,
) -> Result<(), Failure> {
    let name = found.name_any();
    let namespace = found.namespace();
    let api = kind.api(&cluster.client, namespace.as_deref());
    let params = DeleteParams {
        preconditions: found.uid().map(|uid| kube::api::Preconditions {
            uid: Some(uid),
            resource_version: None,
        }),
        ..Default::default()
    };
    match api.delete(&name, &params).await {
        Err(error) if is_not_found(&error) => return Ok(()),
        deleted => drop(deleted.map_err(|error| cluster.problem(&error))?),
    }
    let place = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let what = format!("{} {place}{name} in {}", kind.resource().kind, cluster.context);
    progress.done(&format!("deleted {what}"));
    done.deleted.push(what);
    Ok(())
}

/// Delete an object of this connection; what others made is kept, and named.
async fn remove_ours(
    cluster: &Cluster,
    kind: Kind,
    namespace: &str,
    name: &str,
    connection: Option<&str>,
    done: &mut Disconnected,
    progress: &Progress,
) -> Result<(), Failure> {
    let api = kind.api(&cluster.client, Some(namespace));
    let Some(found) = api.get_opt(name).await.map_err(|error| cluster.problem(&error))? else {
        return Ok(());
    };
    if belongs_to(&found).is_some() && belongs_to(&found) == connection {
        return delete(cluster, &found, kind, done, progress).await;
    }
    // That of a Kubeconfig goes with it.
    if !found.annotations().contains_key(names::ISSUED_FOR) {
        let what = format!("{} {namespace}/{name} in {}", kind.resource().kind, cluster.context);
        done.kept.push(format!("{what}: connect has not made it"));
    }
    Ok(())
}

async fn node_gone(source: &Cluster, node: &str, patience: &Patience<'_>) -> Result<(), Failure> {
    let nodes = Api::<Node>::all(source.client.clone());
    let ask = async || {
        Ok(match nodes.get_metadata_opt(node).await? {
            None => Ok(()),
            Some(_) => Err("it is still there".to_owned()),
        })
    };
    let what = format!("the end of the virtual node {node}");
    let advice = "Does the agent run there? The rest has not been deleted: run disconnect again";
    patience.until(&what, advice, ask, |error| source.words(error)).await
}
