//! `connect`: makes who may come in the target, and where to go in the source.
//!
//! ```text
//! flags ─▶ request ┐
//! facts ─▶ preflight ─▶ way ─▶ trust, objects ─▶ plan ─▶ rights ─▶ journal, token, wait ─▶ connected
//!                                                                     └─ failed, Ctrl-C ─▶ journal::undo
//! ```

pub mod journal;
pub mod objects;
pub mod plan;
pub mod preflight;
pub mod prepare;
pub mod report;
pub mod request;
pub mod rights;
pub mod token;
pub mod trust;
pub mod wait;
pub mod way;

use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::Api;
use kube::api::{Patch, PatchParams};
use multicluster_api::names;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::{Connect, Credentials, Global};
use crate::contexts::Contexts;
use crate::failure::{Failure, problem};
use crate::output;
use crate::progress::Progress;
use crate::resources::Kind;
use journal::{Journal, Pair};
use objects::{Side, secret};
use plan::Step;
use prepare::Prepared;
use report::Connected;
use wait::Patience;

/// Connect a source and a target.
pub async fn run(global: &Global, flags: &Connect, stop: &CancellationToken) -> Result<(), Failure> {
    let progress = Progress::new();
    let contexts = Contexts::read(global)?;
    let (source, target) = (
        contexts.cluster(flags.source.as_deref()).await?,
        contexts.cluster(Some(&flags.target)).await?,
    );
    let clusters = Pair { source, target };
    let prepared = prepare::prepare(flags, &clusters, &progress).await?;
    let mut connected = Connected::new(&clusters, &prepared, flags);
    if !flags.dry_run {
        let mut journal = Journal::new(prepared.connection.clone());
        let done = carry_out(flags, &clusters, &prepared, &mut journal, stop, &progress).await;
        match done {
            Ok((expires, node)) => connected.done(expires, node.as_ref()),
            Err(failure) => {
                progress.say(match failure {
                    Failure::Interrupted => "interrupted: removing what has been made …",
                    _ => "it failed: removing what has been made …",
                });
                let left = journal.undo(&clusters, &progress).await;
                return Err(after_undo(failure, left));
            }
        }
    }
    output::write(global.output, &connected, || connected.people())
}

/// The failure, and what is left if not all could be removed.
fn after_undo(failure: Failure, left: Vec<String>) -> Failure {
    match left.is_empty() {
        true if failure == Failure::Interrupted => failure,
        true => problem(format!("{failure}\nEverything that was made has been removed again.")),
        false => problem(format!(
            "{failure}\nSome of what was made could not be removed; run disconnect --force, or delete it by hand:\n  {}",
            left.join("\n  ")
        )),
    }
}

async fn carry_out(
    flags: &Connect,
    clusters: &Pair,
    prepared: &Prepared,
    journal: &mut Journal,
    stop: &CancellationToken,
    progress: &Progress,
) -> Result<(Option<String>, Option<Node>), Failure> {
    let patience = Patience {
        timeout: flags.timeout,
        stop,
        progress,
    };
    let request = &prepared.request;
    let mut expires = None;
    for step in prepared.steps.clone() {
        if stop.is_cancelled() {
            return Err(Failure::Interrupted);
        }
        let (what, side, kind, action) = (step.object.describe(), step.object.side, step.object.kind, step.action);
        let cluster = clusters.of(side);
        let mut step = step;
        if kind == Kind::Secret {
            let (namespace, name) = (request.namespace(), request.source_name.as_str());
            let token = token::request(&clusters.target, namespace, name, flags.token_duration).await?;
            let until = token.expires.to_string();
            step = Step {
                object: secret(
                    request,
                    &prepared.server,
                    Some((token.token.expose_secret(), Some(until.clone()))),
                ),
                ..step
            };
            expires = Some(until);
        }
        let object = step.object.clone();
        journal.write(clusters, step).await?;
        progress.done(&format!("{} {what} in {}", report::past(action), cluster.context));
        if flags.wait
            && let Some(advice) = advice(kind, side, &cluster.context)
        {
            patience.ready(cluster, &object, &advice).await?;
        }
    }
    let node = match flags.wait {
        true => Some(patience.node(&clusters.source, &request.target).await?),
        false => None,
    };
    if let (true, Some(namespace)) = (flags.label_namespace, &request.target.namespace) {
        if stop.is_cancelled() {
            return Err(Failure::Interrupted);
        }
        label(clusters, namespace).await?;
        progress.done(&format!(
            "labelled Namespace {namespace} in {}",
            clusters.source.context
        ));
    }
    if prepared.credentials == Credentials::Identity && node.is_some() {
        let api = Kind::Kubeconfig.api(&clusters.source.client, Some(request.namespace()));
        let kubeconfig = api.get(&request.target.name).await.ok();
        expires = kubeconfig.and_then(|object| object.data["status"]["notAfter"].as_str().map(str::to_owned));
    }
    Ok((expires, node))
}

/// What to look at when an object does not get ready; `None` for those that have no such condition.
fn advice(kind: Kind, side: Side, context: &str) -> Option<String> {
    let kind = match (kind, side) {
        (Kind::Source | Kind::ClusterSource, Side::Target) => "does the agent run there?",
        (Kind::TrustedIdentityProvider, _) => "do the agent and the authenticating proxy run there?",
        (Kind::Kubeconfig, _) => "does cert-manager run there, and is the Issuer multicluster-identities ready?",
        (Kind::Target | Kind::ClusterTarget, _) => {
            "does the source's agent reach that server? Write --server URL if its address is another one from there"
        }
        _ => return None,
    };
    let sentence = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
    Some(format!("{sentence} (context {context})"))
}

async fn label(clusters: &Pair, namespace: &str) -> Result<(), Failure> {
    let namespaces = Api::<Namespace>::all(clusters.source.client.clone());
    let patch = json!({ "metadata": { "labels": { names::NAMESPACE_LABEL: names::NAMESPACE_LABEL_ENABLED } } });
    let labelled = namespaces
        .patch(namespace, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    labelled.map(drop).map_err(|error| clusters.source.problem(&error))
}
