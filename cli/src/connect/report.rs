//! What `connect` has done, or would do.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use multicluster_api::names;
use serde::Serialize;
use serde_json::Value;

use super::journal::Pair;
use super::plan::Action;
use super::prepare::Prepared;
use crate::args::{Connect, Credentials};
use crate::output::Table;
use crate::resources::Kind;

/// What `connect` has done, or would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// Was nothing written?
    pub dry_run: bool,
    /// Context of the source.
    pub source: String,
    /// Context of the target.
    pub target: String,
    /// `Target` or `ClusterTarget`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `token` or `identity`.
    pub credentials: &'static str,
    /// When the credentials end; identities are renewed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Where the source goes.
    pub server: String,
    /// The virtual node.
    pub virtual_node: String,
    /// What it has, if it was waited for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub allocatable: BTreeMap<String, String>,
    /// Does the webhook serve the namespace?
    pub namespace_served: bool,
    /// What was done to each object.
    pub objects: Vec<Written>,
}

/// What was done to an object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Written {
    /// `source` or `target`.
    pub cluster: &'static str,
    /// Kind, namespace and name.
    pub object: String,
    /// What was done.
    pub action: Action,
    /// The object; without the content of Secrets.
    pub manifest: Value,
}

/// What has been done, in a word.
pub fn past(action: Action) -> &'static str {
    match action {
        Action::Create => "created",
        Action::Repair => "updated",
        Action::Keep => "kept",
    }
}

impl Connected {
    /// What is planned.
    pub fn new(clusters: &Pair, prepared: &Prepared, flags: &Connect) -> Self {
        let request = &prepared.request;
        let objects = prepared.steps.iter().map(|step| {
            let mut manifest = step.object.body(&prepared.connection);
            if step.object.kind == Kind::Secret {
                manifest["data"] = Value::Null;
            }
            Written {
                cluster: step.object.side.word(),
                object: step.object.describe(),
                action: step.action,
                manifest,
            }
        });
        Self {
            dry_run: flags.dry_run,
            source: clusters.source.context.clone(),
            target: clusters.target.context.clone(),
            kind: request.target.kind(),
            name: request.target.name.clone(),
            namespace: request.target.namespace.clone(),
            credentials: match prepared.credentials {
                Credentials::Token => "token",
                Credentials::Identity => "identity",
            },
            expires: None,
            server: prepared.server.url.clone(),
            virtual_node: request.target.virtual_node().into(),
            allocatable: BTreeMap::new(),
            namespace_served: prepared.served || (flags.label_namespace && !flags.dry_run),
            objects: objects.collect(),
        }
    }

    /// It is done.
    pub fn done(&mut self, expires: Option<String>, node: Option<&Node>) {
        self.expires = expires;
        let allocatable = node
            .and_then(|node| node.status.as_ref()?.allocatable.clone())
            .unwrap_or_default();
        self.allocatable = allocatable.into_iter().map(|(name, amount)| (name, amount.0)).collect();
    }

    /// For people.
    pub fn people(&self) -> String {
        let mut text = String::new();
        if self.dry_run {
            let mut table = Table::new(["CLUSTER", "OBJECT", "ACTION"]);
            for written in &self.objects {
                let action = match written.action {
                    Action::Create => "create",
                    Action::Repair => "update",
                    Action::Keep => "keep",
                };
                table.row([written.cluster.into(), written.object.clone().into(), action.into()]);
            }
            text += &table.render();
            text += "nothing has been written (--dry-run); -o yaml shows the objects\n";
        } else {
            let room = match self.allocatable.get("cpu").zip(self.allocatable.get("memory")) {
                Some((cpu, memory)) => format!(" is Ready: {cpu} CPU, {memory} memory"),
                None => " will stand for it".to_owned(),
            };
            text += &format!(
                "{} sends pods to {}: the node {}{room}\n",
                self.source, self.target, self.virtual_node
            );
        }
        if let Some(expires) = &self.expires {
            text += &match self.credentials {
                "token" => format!("its token ends at {expires}: connect again before\n"),
                _ => format!("its identity is good until {expires}, and is renewed before\n"),
            };
        }
        match &self.namespace {
            Some(namespace) if !self.namespace_served => {
                text += &format!(
                    "pods of namespace {namespace} cannot be elected yet: kubectl --context {} label namespace {namespace} {}={}\n",
                    self.source,
                    names::NAMESPACE_LABEL,
                    names::NAMESPACE_LABEL_ENABLED
                );
            }
            None => {
                text += &format!(
                    "elect pods in namespaces with the label {}={}\n",
                    names::NAMESPACE_LABEL,
                    names::NAMESPACE_LABEL_ENABLED
                );
            }
            _ => {}
        }
        text
    }
}
