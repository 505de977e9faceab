//! What a cluster is to the product: read here, judged elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use multicluster_api::{ClusterSummary, names};

use crate::contexts::Cluster;
use crate::failure::Failure;
use crate::installed;
use crate::words::{is_forbidden, is_not_found};

/// What may not be known, because the caller may not read it.
pub type Known<T> = Option<T>;

/// What a cluster is to the product.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The context.
    pub context: String,
    /// URL of the API server, as the context has it.
    pub server: String,
    /// Version of Kubernetes.
    pub version: Option<Version>,
    /// UID of kube-system: which cluster this is.
    pub id: Known<String>,
    /// Plural names of our kinds that are served.
    pub kinds: BTreeSet<String>,
    /// Is the webhook configured, which a source needs?
    pub webhook: Known<bool>,
    /// Our Deployments by name.
    pub deployments: Known<BTreeMap<String, Program>>,
    /// The agent's summary of this cluster, which a target has: the agent's version.
    pub summary: Known<Option<String>>,
}

/// A version of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 1.
    pub major: u32,
    /// 36, say.
    pub minor: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Version {
    /// Providers write `36+`, and `v1.36.3-eks` in versions of programs.
    pub fn parse(major: &str, minor: &str) -> Option<Self> {
        let number = |text: &str| {
            let digits = text.trim_start_matches('v');
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse().ok()
        };
        Some(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

/// A Deployment of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Replicas that are wanted.
    pub wanted: i32,
    /// Replicas that are ready.
    pub ready: i32,
    /// Image of the first container.
    pub image: String,
    /// Environment of the first container, where it is written down.
    pub env: BTreeMap<String, String>,
    /// Why it makes no progress.
    pub trouble: Option<String>,
}

impl Facts {
    /// Has it the parts of a source? `None` when the caller may not look.
    pub fn is_source(&self) -> Known<bool> {
        if self.webhook == Some(true) || self.agent_has_role("source") == Some(true) {
            return Some(true);
        }
        self.webhook
    }

    /// Has it an agent in the role of a target?
    pub fn is_target(&self) -> Known<bool> {
        match (&self.summary, self.agent_has_role("target")) {
            (Some(Some(_)), _) => Some(true),
            (_, Some(role)) => Some(role),
            (summary, None) => summary.as_ref().map(|_| false),
        }
    }

    /// Has it the authenticating proxy?
    pub fn has_authproxy(&self) -> bool {
        self.deployments
            .as_ref()
            .is_some_and(|all| all.contains_key(names::AUTHPROXY))
    }

    fn agent_has_role(&self, role: &str) -> Known<bool> {
        let deployments = self.deployments.as_ref()?;
        let Some(agent) = deployments.get(installed::AGENT) else {
            return Some(false);
        };
        // Without the variable the agent has both.
        let roles = agent.env.get(installed::ROLES);
        Some(roles.is_none_or(|roles| roles.split(',').any(|one| one.trim() == role)))
    }

    /// Ask a cluster. An error when it does not answer, or not to this caller.
    pub async fn read(cluster: &Cluster) -> Result<Self, Failure> {
        let client = &cluster.client;
        let version = client
            .apiserver_version()
            .await
            .map_err(|error| cluster.problem(&error))?;
        let group_version = format!("{}/{}", names::GROUP, names::VERSION);
        let group = client.list_api_group_resources(&group_version);
        let namespaces = Api::<Namespace>::all(client.clone());
        let webhooks = Api::<MutatingWebhookConfiguration>::all(client.clone());
        let deployments = Api::<Deployment>::namespaced(client.clone(), names::INSTALL_NAMESPACE);
        let summaries = Api::<ClusterSummary>::all(client.clone());
        let all = ListParams::default();
        let (kinds, id, webhook, deployments, summary) = futures::join!(
            group,
            namespaces.get_metadata(installed::KUBE_SYSTEM),
            webhooks.get_metadata_opt(installed::WEBHOOKS),
            deployments.list(&all),
            summaries.get_opt(names::CLUSTER_SUMMARY),
        );
        let say = |error: kube::Error| cluster.problem(&error);
        let kinds = match kinds {
            Ok(list) => list.resources.into_iter().map(|resource| resource.name).collect(),
            Err(error) if is_not_found(&error) => BTreeSet::new(),
            Err(error) => return Err(say(error)),
        };
        Ok(Self {
            context: cluster.context.clone(),
            server: cluster.server.clone(),
            version: Version::parse(&version.major, &version.minor),
            id: known(id).map_err(say)?.and_then(|found| found.metadata.uid),
            kinds,
            webhook: known(webhook).map_err(say)?.map(|found| found.is_some()),
            deployments: known(deployments)
                .map_err(say)?
                .map(|list| list.items.iter().map(program).collect()),
            summary: known(summary)
                .map_err(say)?
                .map(|found| found.map(|summary| summary.spec.agent_version.unwrap_or_default())),
        })
    }
}

/// What is forbidden is not known. A kind that is not served has no objects.
fn known<T>(answer: Result<T, kube::Error>) -> Result<Known<T>, kube::Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_forbidden(&error) || is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A Deployment, as far as it is looked at.
pub fn program(deployment: &Deployment) -> (String, Program) {
    let spec = deployment.spec.clone().unwrap_or_default();
    let status = deployment.status.clone().unwrap_or_default();
    let container = spec.template.spec.unwrap_or_default().containers.into_iter().next();
    let container = container.unwrap_or_default();
    let env = container.env.unwrap_or_default().into_iter();
    let conditions = status.conditions.unwrap_or_default();
    let stuck = conditions.into_iter().find(|condition| {
        matches!(
            (condition.type_.as_str(), condition.status.as_str()),
            ("Available", "False") | ("Progressing", "False") | ("ReplicaFailure", "True")
        )
    });
    let program = Program {
        wanted: spec.replicas.unwrap_or(1),
        ready: status.ready_replicas.unwrap_or_default(),
        image: container.image.unwrap_or_default(),
        env: env.filter_map(|var| Some((var.name, var.value?))).collect(),
        trouble: stuck.and_then(|condition| condition.message),
    };
    (deployment.name_any(), program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_providers_write_them() {
        let version = |major, minor| Some(Version { major, minor });
        assert_eq!(Version::parse("1", "36"), version(1, 36));
        assert_eq!(Version::parse("1", "29+"), version(1, 29));
        assert_eq!(Version::parse("v1", "36.3-eks"), version(1, 36));
        assert_eq!(Version::parse("", "x"), None);
    }

    #[test]
    fn roles_follow_from_what_is_installed() {
        let agent = |roles: &str| {
            let env = [(installed::ROLES.to_owned(), roles.to_owned())].into();
            let agent = Program {
                env,
                ..Program::default()
            };
            Facts {
                deployments: Some([(installed::AGENT.to_owned(), agent)].into()),
                webhook: Some(false),
                summary: Some(None),
                ..Facts::default()
            }
        };
        assert_eq!(
            (agent("target").is_source(), agent("target").is_target()),
            (Some(false), Some(true))
        );
        assert_eq!(
            (agent("source").is_source(), agent("source").is_target()),
            (Some(true), Some(false))
        );
        let both = agent("source,target");
        assert_eq!((both.is_source(), both.is_target()), (Some(true), Some(true)));
        assert_eq!(
            (Facts::default().is_source(), Facts::default().is_target()),
            (None, None)
        );
        let empty = Facts {
            deployments: Some([].into()),
            webhook: Some(false),
            ..Facts::default()
        };
        assert_eq!((empty.is_source(), empty.is_target()), (Some(false), Some(false)));
    }
}
