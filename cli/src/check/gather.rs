//! Reads what is checked.

use std::collections::BTreeMap;
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Resource, ResourceExt};
use multicluster_api::names;
use serde::de::DeserializeOwned;

use crate::contexts::Cluster;
use crate::facts::Facts;
use crate::failure::Failure;
use crate::installed;
use crate::resources::Kind;
use crate::status::gather::Seen;
use crate::words::{is_forbidden, is_not_found};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Installation {
    /// What the cluster is to the product.
    pub facts: Facts,
    /// What `status` shows, too.
    pub seen: Seen,
    /// Our definitions.
    pub definitions: Vec<CustomResourceDefinition>,
    /// Webhooks by their configuration's kind: how many have no authority, and how many there are.
    pub webhooks: BTreeMap<&'static str, (usize, usize)>,
    /// Conditions Ready of our objects and of cert-manager's, by their description.
    pub conditions: BTreeMap<String, Option<Condition>>,
    /// Namespaces that the webhook serves.
    pub namespaces: Vec<String>,
    /// Has our own namespace the label, which must not be?
    pub own_namespace_served: bool,
    /// Virtual nodes.
    pub nodes: Vec<Node>,
    /// How far the API server's clock is ahead of ours, in seconds.
    pub clock_ahead: Option<i64>,
    /// How old the agent's Lease is by the API server's clock.
    pub lease_age: Option<i64>,
}

/// Read it.
pub async fn gather(cluster: &Cluster) -> Result<Installation, Failure> {
    let facts = Facts::read(cluster).await?;
    let seen = crate::status::gather::gather(cluster).await?;
    let clock_ahead = cluster.clock_ahead().await;
    let mut installation = Installation {
        nodes: seen.nodes.clone(),
        definitions: list::<CustomResourceDefinition>(cluster)
            .await?
            .into_iter()
            .filter(|crd| crd.spec.group == names::GROUP)
            .collect(),
        lease_age: lease_age(&seen, clock_ahead.unwrap_or_default()),
        clock_ahead,
        facts,
        seen,
        ..Installation::default()
    };
    let mutating = list::<MutatingWebhookConfiguration>(cluster).await?;
    let clients = |one: &MutatingWebhookConfiguration| {
        let webhooks = one.webhooks.iter().flatten();
        webhooks.map(|webhook| webhook.client_config.clone()).collect()
    };
    installation.webhooks.extend(ours(&mutating, clients));
    let validating = list::<ValidatingWebhookConfiguration>(cluster).await?;
    let clients = |one: &ValidatingWebhookConfiguration| {
        let webhooks = one.webhooks.iter().flatten();
        webhooks.map(|webhook| webhook.client_config.clone()).collect()
    };
    installation.webhooks.extend(ours(&validating, clients));
    for namespace in list::<Namespace>(cluster).await? {
        let served =
            namespace.labels().get(names::NAMESPACE_LABEL).map(String::as_str) == Some(names::NAMESPACE_LABEL_ENABLED);
        match (served, namespace.name_any()) {
            (true, name) if name == names::INSTALL_NAMESPACE => installation.own_namespace_served = true,
            (true, name) => installation.namespaces.push(name),
            _ => {}
        }
    }
    let ours = [
        Kind::Source,
        Kind::ClusterSource,
        Kind::TrustedIdentityProvider,
        Kind::Kubeconfig,
    ];
    for resource in ours.map(Kind::resource) {
        conditions(cluster, &resource, None, &mut installation.conditions).await?;
    }
    for kind in ["Issuer", "Certificate"] {
        let gvk = kube::core::GroupVersionKind::gvk("cert-manager.io", "v1", kind);
        let namespace = Some(names::INSTALL_NAMESPACE);
        conditions(
            cluster,
            &ApiResource::from_gvk(&gvk),
            namespace,
            &mut installation.conditions,
        )
        .await?;
    }
    Ok(installation)
}

/// Of our configuration of webhooks: its kind, how many webhooks have no authority, and how many there are.
fn ours<K: k8s_openapi::Resource + ResourceExt>(
    configurations: &[K],
    clients: impl Fn(&K) -> Vec<WebhookClientConfig>,
) -> Option<(&'static str, (usize, usize))> {
    let ours = configurations
        .iter()
        .find(|one| one.name_any() == installed::WEBHOOKS)?;
    let clients = clients(ours);
    let has = |client: &&WebhookClientConfig| client.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty());
    let without = clients.len() - clients.iter().filter(has).count();
    Some((K::KIND, (without, clients.len())))
}

/// How old the agent's Lease is, when the API server's clock is so far ahead of ours.
fn lease_age(seen: &Seen, ahead: i64) -> Option<i64> {
    let lease = seen.leases.iter().find(|lease| lease.name_any() == installed::AGENT)?;
    let renewed = lease.spec.as_ref()?.renew_time.as_ref()?.0;
    Some(Timestamp::now().as_second() + ahead - renewed.as_second())
}

async fn conditions(
    cluster: &Cluster,
    resource: &ApiResource,
    namespace: Option<&str>,
    found: &mut BTreeMap<String, Option<Condition>>,
) -> Result<(), Failure> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, resource),
        None => Api::all_with(cluster.client.clone(), resource),
    };
    let objects = match api.list(&ListParams::default()).await {
        Ok(objects) => objects.items,
        Err(error) if is_not_found(&error) || is_forbidden(&error) => return Ok(()),
        Err(error) => return Err(cluster.problem(&error)),
    };
    for object in objects {
        let place = object
            .namespace()
            .map(|namespace| format!("{namespace}/"))
            .unwrap_or_default();
        let all = object.data["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ready = all.into_iter().find(|condition| condition["type"] == "Ready");
        let ready = ready.and_then(|condition| serde_json::from_value(condition).ok());
        found.insert(format!("{} {place}{}", resource.kind, object.name_any()), ready);
    }
    Ok(())
}

async fn list<K>(cluster: &Cluster) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    match Api::<K>::all(cluster.client.clone()).list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(error) if is_forbidden(&error) => Ok(vec![]),
        Err(error) => Err(cluster.problem(&error)),
    }
}
