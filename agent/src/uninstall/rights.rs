//! The agent's own rights while it cleans up.
//!
//! `kubectl delete -k` deletes them before the agent has begun. The manifests give them a finalizer: RBAC counts an
//! object that is merely going, and a ServiceAccount that is going is good for another minute.
//!
//! Two of these objects would have to be the last one: without the binding the agent may not release the
//! ServiceAccount, and without the ServiceAccount not the binding. So it makes a role and a binding for this end alone,
//! owned by the namespace that holds the ServiceAccount: the garbage collector takes them when that is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use multicluster_api::names;

use super::cleaner::Cleaner;
use crate::api_error;
use crate::source::keep_node::LEASE_NAMESPACE;

/// Name of the agent's ServiceAccount, and of the role that it has whatever the cluster is.
const AGENT: &str = "multicluster-agent";
/// What it may do in a source; also the Role in the namespace of the node Leases.
const SOURCE: &str = "multicluster-agent-source";
/// What it may do in a target.
const TARGET: &str = "multicluster-agent-target";
/// What it may do in a source to issue credentials, where that was not left out.
const KUBECONFIGS: &str = "multicluster-agent-kubeconfigs";
/// The role and the binding of the end.
pub const LAST: &str = "multicluster-agent-uninstall";
const RBAC: &str = "rbac.authorization.k8s.io";
/// A new binding counts after the API server has seen it, which takes it milliseconds.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);
/// How long to wait for an answer to the question whether this is an ordinary stop.
const ASK: Duration = Duration::from_secs(3);
/// How often it is asked while that is unclear: for ten seconds.
const QUESTIONS: usize = 40;

/// Is this installation being removed? When it cannot be told, it is not.
///
/// Helm deletes the Deployment seconds before the rights. Without its Deployment the agent therefore waits a little: they may
/// be about to go.
pub async fn are_going(client: &Client) -> bool {
    for _ in 0..QUESTIONS {
        match tokio::time::timeout(ASK, fate(client)).await {
            Ok(Fate::Going) => return true,
            Ok(Fate::Unclear) => tokio::time::sleep(PAUSE).await,
            Ok(Fate::Staying) | Err(_) => return false,
        }
    }
    false
}

/// What becomes of the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Going,
    Staying,
    /// There are rights, but nothing that would use them.
    Unclear,
}

async fn fate(client: &Client) -> Fate {
    let namespaces = Api::<Namespace>::all(client.clone());
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    let deployments = Api::<Deployment>::namespaced(client.clone(), names::INSTALL_NAMESPACE);
    let (namespace, binding, deployment) = tokio::join!(
        namespaces.get_metadata_opt(names::INSTALL_NAMESPACE),
        bindings.get_metadata_opt(AGENT),
        deployments.get_metadata_opt(AGENT),
    );
    let going = |metadata: &ObjectMeta| metadata.deletion_timestamp.is_some();
    let namespace = namespace.ok().flatten().map(|object| object.metadata);
    let binding = binding.ok().flatten().map(|object| object.metadata);
    if namespace.as_ref().is_some_and(going) || binding.as_ref().is_some_and(going) {
        return Fate::Going;
    }
    let alone = deployment.is_ok_and(|found| found.is_none_or(|object| going(&object.metadata)));
    match binding.is_some() && alone {
        true => Fate::Unclear,
        false => Fate::Staying,
    }
}

/// Take the finalizer off all of them; the ServiceAccount comes last.
pub async fn release(cleaner: &Cleaner, client: &Client) -> Result<(), kube::Error> {
    let leases = |client: Client| {
        (
            Api::namespaced(client.clone(), LEASE_NAMESPACE),
            Api::namespaced(client, LEASE_NAMESPACE),
        )
    };
    let (roles, role_bindings): (Api<Role>, Api<RoleBinding>) = leases(client.clone());
    let cluster_roles = Api::<ClusterRole>::all(client.clone());
    let cluster_bindings = Api::<ClusterRoleBinding>::all(client.clone());
    cleaner.release(&role_bindings, SOURCE, names::UNINSTALL).await?;
    cleaner.release(&roles, SOURCE, names::UNINSTALL).await?;
    for name in [SOURCE, TARGET, KUBECONFIGS, AGENT] {
        retry(async || cleaner.release(&cluster_bindings, name, names::UNINSTALL).await).await?;
        retry(async || cleaner.release(&cluster_roles, name, names::UNINSTALL).await).await?;
    }
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), names::INSTALL_NAMESPACE);
    retry(async || cleaner.release(&accounts, AGENT, names::UNINSTALL).await).await
}

async fn retry(attempt: impl AsyncFn() -> Result<(), kube::Error>) -> Result<(), kube::Error> {
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if api_error::is_denied(&error) => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
    attempt().await
}

/// Make the role and the binding of the end.
pub async fn keep_to_the_end(client: &Client) -> Result<(), kube::Error> {
    let namespace = Api::<Namespace>::all(client.clone())
        .get_metadata(names::INSTALL_NAMESPACE)
        .await?;
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Namespace".into(),
        name: names::INSTALL_NAMESPACE.into(),
        uid: namespace.metadata.uid.clone().unwrap_or_default(),
        ..Default::default()
    };
    create(client, last_role(owner.clone())).await?;
    create(client, last_binding(owner)).await
}

async fn create<K>(client: &Client, object: K) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    match Api::<K>::all(client.clone())
        .create(&PostParams::default(), &object)
        .await
    {
        Err(error) if !api_error::is_already_exists(&error) => Err(error),
        _ => Ok(()),
    }
}

fn metadata(owner: OwnerReference) -> ObjectMeta {
    ObjectMeta {
        name: Some(LAST.into()),
        labels: Some(BTreeMap::from([(names::PART_OF.into(), names::PART_OF_VALUE.into())])),
        owner_references: Some(vec![owner]),
        ..Default::default()
    }
}

/// What [`release`] needs, word for word as the ClusterRole `multicluster-agent` says it: nobody grants more than he has.
fn last_role(owner: OwnerReference) -> ClusterRole {
    let rule = |group: &str, resources: &[&str], names: &[&str]| PolicyRule {
        api_groups: Some(vec![group.into()]),
        resources: Some(resources.iter().map(|resource| (*resource).into()).collect()),
        resource_names: Some(names.iter().map(|name| (*name).into()).collect()),
        verbs: vec!["get".into(), "patch".into()],
        ..Default::default()
    };
    ClusterRole {
        metadata: metadata(owner),
        rules: Some(vec![
            rule("", &["serviceaccounts"], &[AGENT]),
            rule(
                RBAC,
                &["clusterroles", "clusterrolebindings", "roles", "rolebindings"],
                &[AGENT, SOURCE, TARGET, KUBECONFIGS],
            ),
        ]),
        ..Default::default()
    }
}

fn last_binding(owner: OwnerReference) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: metadata(owner),
        role_ref: RoleRef {
            api_group: Some(RBAC.into()),
            kind: "ClusterRole".into(),
            name: LAST.into(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name: AGENT.into(),
            namespace: Some(names::INSTALL_NAMESPACE.into()),
            ..Default::default()
        }]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    fn manifests() -> Vec<Value> {
        let both = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/overlays/both/rendered.yaml");
        serde_saphyr::from_multiple(&std::fs::read_to_string(both).unwrap()).unwrap()
    }

    #[test]
    fn what_is_held_is_released() {
        let held: BTreeSet<_> = manifests()
            .iter()
            .filter(|object| object["metadata"]["finalizers"][0] == names::UNINSTALL)
            .map(|object| {
                format!(
                    "{} {}",
                    object["kind"].as_str().unwrap(),
                    object["metadata"]["name"].as_str().unwrap()
                )
            })
            .collect();
        let mut released = BTreeSet::from([
            format!("ServiceAccount {AGENT}"),
            format!("Role {SOURCE}"),
            format!("RoleBinding {SOURCE}"),
        ]);
        for name in [AGENT, SOURCE, TARGET, KUBECONFIGS] {
            released.extend([format!("ClusterRole {name}"), format!("ClusterRoleBinding {name}")]);
        }
        assert_eq!(held, released);
    }

    #[test]
    fn the_last_role_grants_nothing_that_the_agent_has_not() {
        let manifests = manifests();
        let agent = manifests
            .iter()
            .find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == AGENT)
            .unwrap();
        for rule in serde_json::to_value(last_role(OwnerReference::default())).unwrap()["rules"]
            .as_array()
            .unwrap()
        {
            assert!(agent["rules"].as_array().unwrap().contains(rule), "{rule}");
        }
    }
}
