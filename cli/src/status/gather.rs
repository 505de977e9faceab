//! Reads what `status` shows.

use std::collections::BTreeMap;
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, Resource};
use multicluster_api::target::{Access, AnyTarget};
use multicluster_api::{ClusterTarget, Target, names};
use serde::de::DeserializeOwned;

use crate::certificate;
use crate::contexts::Cluster;
use crate::facts::{Program, program};
use crate::failure::{Failure, problem};
use crate::installed;
use crate::words::{is_forbidden, is_not_found};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The context.
    pub context: String,
    /// Targets and ClusterTargets.
    pub targets: Vec<AnyTarget>,
    /// Virtual nodes.
    pub nodes: Vec<Node>,
    /// Proxy pods.
    pub pods: Vec<Pod>,
    /// When the credentials of a target end, by its virtual node.
    pub credentials: BTreeMap<String, Timestamp>,
    /// Our Deployments.
    pub programs: BTreeMap<String, Program>,
    /// Leases by which leaders are chosen.
    pub leases: Vec<Lease>,
    /// The ends of our certificates, by Secret.
    pub certificates: BTreeMap<String, Option<Timestamp>>,
}

/// The Secrets with certificates.
pub const CERTIFICATES: [&str; 7] = [
    installed::AUTHORITY,
    installed::WEBHOOK_TLS,
    installed::EXTENDER_TLS,
    installed::SCHEDULER_TLS,
    installed::IDENTITY_AUTHORITY,
    installed::AUTHPROXY_AUTHORITY,
    installed::AUTHPROXY_TLS,
];

/// Read it. What is forbidden is left out; that there is nothing of ours is an error.
pub async fn gather(cluster: &Cluster) -> Result<Seen, Failure> {
    let client = &cluster.client;
    let (all, own) = (
        ListParams::default(),
        format!("{}={}", names::PROVIDER, names::PROVIDER_VALUE),
    );
    let of_nodes = ListParams::default().labels(&own);
    let of_pods = ListParams::default().labels(names::HAS_FINALIZER);
    let targets = list_all::<Target>(cluster, &all).await?;
    let cluster_targets = list_all::<ClusterTarget>(cluster, &all).await?;
    let nodes = list_all::<Node>(cluster, &of_nodes).await?.unwrap_or_default();
    let pods = list_all::<Pod>(cluster, &of_pods).await?.unwrap_or_default();
    let deployments = list_here::<Deployment>(cluster).await?;
    if targets.is_none() && deployments.is_empty() {
        return Err(problem(format!(
            "{}: the product is not installed there: no definition of Targets, and no Deployment in {}",
            cluster.context,
            names::INSTALL_NAMESPACE
        )));
    }
    let targets: Vec<AnyTarget> = (targets.iter().flatten().map(Into::into))
        .chain(cluster_targets.iter().flatten().map(Into::into))
        .collect();
    let mut seen = Seen {
        context: cluster.context.clone(),
        nodes,
        pods,
        programs: deployments.iter().map(program).collect(),
        leases: list_here::<Lease>(cluster).await?,
        ..Seen::default()
    };
    for target in &targets {
        if let Some(end) = credentials_end(cluster, target).await? {
            seen.credentials.insert(target.target.virtual_node().into(), end);
        }
    }
    let secrets = Api::<Secret>::namespaced(client.clone(), names::INSTALL_NAMESPACE);
    for name in CERTIFICATES {
        match secrets.get_opt(name).await {
            Ok(Some(secret)) => {
                let pem = secret.data.unwrap_or_default().remove(installed::CERTIFICATE_KEY);
                seen.certificates
                    .insert(name.into(), pem.and_then(|pem| certificate::not_after(&pem.0)));
            }
            Ok(None) => {}
            Err(error) if is_forbidden(&error) => break,
            Err(error) => return Err(cluster.problem(&error)),
        }
    }
    seen.targets = targets;
    Ok(seen)
}

/// As the Secret's annotation says; its content is not read.
async fn credentials_end(cluster: &Cluster, target: &AnyTarget) -> Result<Option<Timestamp>, Failure> {
    let Access::Kubeconfig { namespace, secret, .. } = &target.access else {
        return Ok(None);
    };
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), namespace);
    let found = match secrets.get_metadata_opt(secret).await {
        Err(error) if is_forbidden(&error) => None,
        found => found.map_err(|error| cluster.problem(&error))?,
    };
    let annotations = found.and_then(|found| found.metadata.annotations).unwrap_or_default();
    Ok(annotations.get(names::EXPIRES_AT).and_then(|end| end.parse().ok()))
}

/// All objects of a kind; `None` when its definition is missing, or it is forbidden.
async fn list_all<K>(cluster: &Cluster, which: &ListParams) -> Result<Option<Vec<K>>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    match Api::<K>::all(cluster.client.clone()).list(which).await {
        Ok(list) => Ok(Some(list.items)),
        Err(error) if is_not_found(&error) || is_forbidden(&error) => Ok(None),
        Err(error) => Err(cluster.problem(&error)),
    }
}

async fn list_here<K>(cluster: &Cluster) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::namespaced(cluster.client.clone(), names::INSTALL_NAMESPACE);
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(error) if is_forbidden(&error) => Ok(vec![]),
        Err(error) => Err(cluster.problem(&error)),
    }
}
