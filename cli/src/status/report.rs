//! What `status` shows, in its stable form. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use multicluster_api::resources::{Resources, pod_requests};
use multicluster_api::target::AnyTarget;
use serde::Serialize;

use super::gather::Seen;
use crate::output::{Cell, Level, Table, age};

/// Certificates and tokens that end within so many seconds are worth a look: two weeks.
const SOON: i64 = 14 * 86400;
/// An identity is renewed 20 minutes before its end, so that this is late.
const LATE: i64 = 600;

/// How a cluster's connections and components do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The context.
    pub context: String,
    /// Targets and ClusterTargets.
    pub targets: Vec<TargetStatus>,
    /// Our Deployments.
    pub components: Vec<Component>,
    /// Our certificates.
    pub certificates: Vec<Certificate>,
}

/// How a target does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// `Target` or `ClusterTarget`.
    pub kind: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Can pods be sent there?
    pub ready: bool,
    /// Why, or why not: the condition's reason.
    pub reason: String,
    /// The condition's message.
    pub message: String,
    /// For how many seconds it has been so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<i64>,
    /// Its virtual node.
    pub virtual_node: String,
    /// Is the virtual node there?
    pub node_exists: bool,
    /// Version of the agent that keeps the virtual node, as the node says it.
    pub agent_version: String,
    /// Sums over its nodes.
    pub allocatable: BTreeMap<String, String>,
    /// What our pods there ask for in sum.
    pub requested: BTreeMap<String, String>,
    /// How many of our pods are there.
    pub pods: usize,
    /// When its credentials end, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_expire: Option<String>,
    /// How well it is.
    pub level: Level,
}

/// How a component does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// The Deployment.
    pub name: String,
    /// Replicas that are ready.
    pub ready: i32,
    /// Replicas that are wanted.
    pub wanted: i32,
    /// Its image.
    pub image: String,
    /// The replica that leads, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Why it makes no progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How well it is.
    pub level: Level,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// The Secret.
    pub secret: String,
    /// When it ends; nothing if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// How well it is.
    pub level: Level,
}

impl Status {
    /// Of what was read.
    pub fn of(seen: &Seen, now: Timestamp) -> Self {
        let components = seen.programs.iter().map(|(name, program)| {
            let lease = seen.leases.iter().find(|lease| lease_of(name) == lease.name_any());
            let leader = lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.clone());
            Component {
                name: name.clone(),
                ready: program.ready,
                wanted: program.wanted,
                image: program.image.clone(),
                leader: leader.filter(|holder| !holder.is_empty()),
                trouble: program.trouble.clone(),
                level: match program.ready {
                    ready if ready >= program.wanted => Level::Ok,
                    0 => Level::Error,
                    _ => Level::Warning,
                },
            }
        });
        let certificates = seen.certificates.iter().map(|(secret, end)| Certificate {
            secret: secret.clone(),
            expires: end.map(|end| end.to_string()),
            level: end.map_or(Level::Error, |end| until(end, now, SOON)),
        });
        Self {
            context: seen.context.clone(),
            targets: seen
                .targets
                .iter()
                .map(|target| TargetStatus::of(seen, target, now))
                .collect(),
            components: components.collect(),
            certificates: certificates.collect(),
        }
    }

    /// Is nothing in error?
    pub fn is_well(&self) -> bool {
        let levels = self.targets.iter().map(|target| target.level);
        let levels = levels.chain(self.components.iter().map(|component| component.level));
        levels
            .chain(self.certificates.iter().map(|certificate| certificate.level))
            .all(|level| level < Level::Error)
    }

    /// For people.
    pub fn people(&self) -> String {
        let mut targets = Table::new([
            "TARGET",
            "NODE",
            "READY",
            "SINCE",
            "PODS",
            "CPU",
            "MEMORY",
            "CREDENTIALS",
        ]);
        for target in &self.targets {
            let name = match &target.namespace {
                Some(namespace) => format!("{namespace}/{}", target.name),
                None => format!("{} (all namespaces)", target.name),
            };
            let ready = if target.ready {
                "True".to_owned()
            } else {
                format!("False: {}", target.reason)
            };
            let share = |resource: &str| {
                let amount = |amounts: &BTreeMap<String, String>| amounts.get(resource).cloned().unwrap_or("0".into());
                format!("{}/{}", amount(&target.requested), amount(&target.allocatable))
            };
            targets.row([
                name.into(),
                target.virtual_node.clone().into(),
                Cell::marked(ready, target.level),
                target.seconds.map(age).unwrap_or_default().into(),
                target.pods.to_string().into(),
                share("cpu").into(),
                share("memory").into(),
                target.credentials_expire.clone().unwrap_or_else(|| "-".into()).into(),
            ]);
        }
        let mut components = Table::new(["COMPONENT", "READY", "LEADER", "IMAGE"]);
        for component in &self.components {
            components.row([
                component.name.clone().into(),
                Cell::marked(format!("{}/{}", component.ready, component.wanted), component.level),
                component.leader.clone().unwrap_or_else(|| "-".into()).into(),
                component.image.clone().into(),
            ]);
        }
        let mut certificates = Table::new(["CERTIFICATE", "EXPIRES"]);
        for certificate in &self.certificates {
            let expires = certificate
                .expires
                .clone()
                .unwrap_or_else(|| "holds no certificate".into());
            certificates.row([
                certificate.secret.clone().into(),
                Cell::marked(expires, certificate.level),
            ]);
        }
        let mut text = match targets.is_empty() {
            true => format!("{} has no targets: kubectl multicluster connect\n", self.context),
            false => targets.render(),
        };
        for target in self.targets.iter().filter(|target| !target.ready) {
            text += &format!("{}: {}\n", target.virtual_node, target.message);
        }
        for table in [components, certificates] {
            if !table.is_empty() {
                text += &format!("\n{}", table.render());
            }
        }
        text
    }
}

impl TargetStatus {
    fn of(seen: &Seen, target: &AnyTarget, now: Timestamp) -> Self {
        let virtual_node: String = target.target.virtual_node().into();
        let node = seen.nodes.iter().find(|node| node.name_any() == virtual_node);
        let ready = target
            .status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "Ready");
        let is_ready = ready.is_some_and(|ready| ready.status == "True");
        let pods: Vec<&Pod> = seen.pods.iter().filter(|pod| is_on(pod, &virtual_node)).collect();
        let end = seen.credentials.get(&virtual_node);
        let credentials = end.map_or(Level::Ok, |end| match end.as_second() - now.as_second() {
            ..=0 => Level::Error,
            1..LATE => Level::Warning,
            _ => Level::Ok,
        });
        Self {
            kind: target.target.kind().into(),
            namespace: target.target.namespace.clone(),
            name: target.target.name.clone(),
            ready: is_ready && node.is_some(),
            reason: ready.map_or_else(|| "Unknown".into(), |ready| ready.reason.clone()),
            message: ready.map_or_else(
                || "the agent has not looked at it yet".into(),
                |ready| ready.message.clone(),
            ),
            seconds: ready.map(|ready| now.as_second() - ready.last_transition_time.0.as_second()),
            node_exists: node.is_some(),
            agent_version: node.map(version).unwrap_or_default(),
            allocatable: node.map(allocatable).unwrap_or_default(),
            requested: requested(&pods),
            pods: pods.len(),
            credentials_expire: end.map(ToString::to_string),
            level: if is_ready && node.is_some() {
                credentials
            } else {
                Level::Error
            },
            virtual_node,
        }
    }
}

fn lease_of(deployment: &str) -> &str {
    match deployment {
        crate::installed::SCHEDULER => crate::installed::SCHEDULER_LEASE,
        other => other,
    }
}

fn until(end: Timestamp, now: Timestamp, soon: i64) -> Level {
    match end.as_second() - now.as_second() {
        ..=0 => Level::Error,
        left if left < soon => Level::Warning,
        _ => Level::Ok,
    }
}

fn is_on(pod: &Pod, node: &str) -> bool {
    let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)
        && !matches!(ended, Some("Succeeded" | "Failed"))
}

fn version(node: &Node) -> String {
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    info.map(|info| info.kubelet_version.clone()).unwrap_or_default()
}

fn allocatable(node: &Node) -> BTreeMap<String, String> {
    let list = node
        .status
        .as_ref()
        .and_then(|status| status.allocatable.clone())
        .unwrap_or_default();
    list.into_iter().map(|(name, amount)| (name, amount.0)).collect()
}

fn requested(pods: &[&Pod]) -> BTreeMap<String, String> {
    let mut sum = Resources::default();
    for pod in pods {
        if let Some(requests) = pod.spec.as_ref().and_then(|spec| pod_requests(spec).ok()) {
            sum.add(&requests);
        }
    }
    sum.to_list()
        .into_iter()
        .map(|(name, amount)| (name, amount.0))
        .collect()
}

#[cfg(test)]
mod tests;
