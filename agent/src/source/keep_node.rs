//! Keeps a virtual node, its Lease and the Target's condition as they should be.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use multicluster_api::target::AnyTarget;
use serde_json::json;

use super::health::Health;
use super::kubelet::endpoint::{self, Endpoint};
use super::target_status;
use super::virtual_node::{MOST_UNREACHABLE, Wanted, metadata_patch, new_node, status_patch};
use crate::api_error;
use crate::events::Events;
use crate::merge;
use crate::metrics::{Metrics, TargetLabel};

/// Namespace of the node Leases (KEP-589).
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
/// As the kubelet's default.
const LEASE_DURATION_SECONDS: i32 = 40;
/// How often the Lease is renewed, as the kubelet does.
pub const LEASE_PERIOD: Duration = Duration::from_secs(10);

/// Keeps one virtual node.
pub struct NodeKeeper {
    source: Client,
    name: String,
    endpoint: Option<Endpoint>,
    events: Events,
    metrics: Arc<Metrics>,
}

impl NodeKeeper {
    /// For the node of this name, in the source cluster, whose kubelet API is served there.
    pub fn new(source: Client, name: &str, endpoint: Option<Endpoint>, events: Events, metrics: Arc<Metrics>) -> Self {
        Self {
            source,
            name: name.into(),
            endpoint,
            events,
            metrics,
        }
    }

    fn nodes(&self) -> Api<Node> {
        Api::all(self.source.clone())
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.source.clone(), LEASE_NAMESPACE)
    }

    /// Is the node there, and Ready?
    pub async fn is_ready(&self) -> Result<bool, kube::Error> {
        let node = self.nodes().get_opt(&self.name).await?;
        let conditions = node.and_then(|node| node.status).and_then(|status| status.conditions);
        let ready = |condition: NodeCondition| condition.type_ == "Ready" && condition.status == "True";
        Ok(conditions.into_iter().flatten().any(ready))
    }

    /// Bring the node in line. Without `wanted` (nothing is known of the target yet) only its health is written, and no
    /// node is made.
    /// `cluster_id` is the cluster behind the target, if that is known.
    pub async fn keep(
        &self,
        target: &AnyTarget,
        wanted: Option<&Wanted>,
        health: &Health,
        cluster_id: Option<&str>,
    ) -> Result<(), kube::Error> {
        let node = match (self.nodes().get_opt(&self.name).await?, wanted) {
            (Some(node), _) => Some(node),
            (None, Some(wanted)) if *health != Health::Unknown => {
                let mut node = new_node(&self.name, wanted, health, Timestamp::now());
                endpoint::show(&mut node, self.endpoint);
                Some(self.nodes().create(&PostParams::default(), &node).await?)
            }
            (None, _) => None,
        };
        if let Some(node) = &node {
            self.update(node, wanted, health).await?;
        }
        self.report(target, node.as_ref(), health, cluster_id).await
    }

    /// Tell the target's owner what of its summary is not shown.
    pub fn tell_left_out(&self, target: &AnyTarget, left_out: &str) {
        tracing::warn!(node = self.name, left_out, "summary");
        let reference = target_status::reference(target);
        self.events
            .warning(reference, "SummaryPartlyUsed", "Read", left_out.to_owned());
    }

    /// What the API server refuses of the labels or amounts must not keep the condition from being written: a node that
    /// says Ready for a target that is away attracts pods.
    async fn update(&self, node: &Node, wanted: Option<&Wanted>, health: &Health) -> Result<(), kube::Error> {
        let params = PatchParams::default();
        let metadata = wanted.and_then(|wanted| metadata_patch(node, wanted));
        let labelled = match merge::joined(metadata, endpoint::metadata_patch(node, self.endpoint)) {
            Some(patch) => {
                let patched = self.nodes().patch(&self.name, &params, &Patch::Merge(patch)).await;
                api_error::ignore_gone(patched)
            }
            None => Ok(()),
        };
        let written = match self.write_status(node, wanted, health).await {
            Err(error) if wanted.is_some() && api_error::refusal(&error).is_some() => {
                self.write_status(node, None, health).await.and(Err(error))
            }
            written => written,
        };
        labelled.and(written)
    }

    async fn write_status(&self, node: &Node, wanted: Option<&Wanted>, health: &Health) -> Result<(), kube::Error> {
        let status = status_patch(node, wanted, health, Timestamp::now());
        let Some(patch) = merge::joined(status, endpoint::status_patch(node, self.endpoint)) else {
            return Ok(());
        };
        let patch = Patch::Strategic(patch);
        let patched = self
            .nodes()
            .patch_status(&self.name, &PatchParams::default(), &patch)
            .await;
        api_error::ignore_gone(patched)?;
        self.tell_cut_off(node, health);
        Ok(())
    }

    /// An event for each node that is held, once: what the node said before is the memory.
    fn tell_cut_off(&self, before: &Node, health: &Health) {
        let conditions = before
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        let told = conditions.filter_map(|condition| condition.reason.as_deref());
        if let Health::CutOff { message, .. } = health
            && !told.into_iter().any(|reason| reason == MOST_UNREACHABLE)
        {
            let note = format!("{message}, and neither do most other targets: its pods stay, and it gets no new ones");
            self.events
                .warning(before.object_ref(&()), MOST_UNREACHABLE, "Hold", note);
        }
    }

    async fn report(
        &self,
        target: &AnyTarget,
        node: Option<&Node>,
        health: &Health,
        cluster_id: Option<&str>,
    ) -> Result<(), kube::Error> {
        let label = TargetLabel::new(&self.name);
        match health {
            Health::Unknown => {}
            Health::Ready => self.metrics.condition(&self.name, true, target_status::READY),
            Health::NotReady { reason, .. } | Health::CutOff { reason, .. } => {
                self.metrics.condition(&self.name, false, reason);
            }
        }
        let report = target_status::report(&self.source, target, &self.name, health, cluster_id);
        let Some(changed) = report.await? else {
            return Ok(());
        };
        self.metrics.target_transitions.get_or_create(&label).inc();
        let reference = target_status::reference(target);
        match health {
            Health::NotReady { reason, message } => {
                if let Some(node) = node {
                    let note = format!("{} {} is away: {message}", target.target.kind(), target.target);
                    self.events.warning(node.object_ref(&()), reason, "Connect", note);
                }
                self.events.warning(reference, reason, "Connect", message.clone());
            }
            // The node does not say so: see `tell_cut_off`.
            Health::CutOff { reason, message } => {
                self.events.warning(reference, reason, "Connect", message.clone());
            }
            _ => {
                if let Some(node) = node {
                    let note = format!("{} {} can run pods", target.target.kind(), target.target);
                    self.events
                        .normal(node.object_ref(&()), target_status::READY, "Connect", note);
                }
                self.events.normal(reference, target_status::READY, "Connect", changed);
            }
        }
        Ok(())
    }

    /// Renew the Lease. This tells the node-lifecycle controller that somebody still answers for the node's condition,
    /// whatever it says.
    pub async fn renew_lease(&self) -> Result<(), kube::Error> {
        let now = MicroTime(Timestamp::now());
        let patch = Patch::Merge(json!({ "spec": { "renewTime": now } }));
        match self.leases().patch(&self.name, &PatchParams::default(), &patch).await {
            Err(error) if api_error::is_not_found(&error) => self.create_lease(now).await,
            result => result.map(drop),
        }
    }

    async fn create_lease(&self, now: MicroTime) -> Result<(), kube::Error> {
        let Some(node) = self.nodes().get_opt(&self.name).await? else {
            return Ok(());
        };
        let owner = OwnerReference {
            controller: None,
            ..node.controller_owner_ref(&()).unwrap_or_default()
        };
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                owner_references: Some(vec![owner]),
                ..Default::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.name.clone()),
                lease_duration_seconds: Some(LEASE_DURATION_SECONDS),
                renew_time: Some(now),
                ..Default::default()
            }),
        };
        self.leases().create(&PostParams::default(), &lease).await.map(drop)
    }

    /// The target is gone: so are its node and Lease.
    pub async fn remove(&self) -> Result<(), kube::Error> {
        self.metrics.forget(&self.name);
        api_error::ignore_gone(self.nodes().delete(&self.name, &DeleteParams::default()).await)?;
        api_error::ignore_gone(self.leases().delete(&self.name, &DeleteParams::default()).await)
    }
}
