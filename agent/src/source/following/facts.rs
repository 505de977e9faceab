//! What is known of the source's objects, as far as it decides where things go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodStatus;
use multicluster_api::names;
use multicluster_api::references::References;
use multicluster_api::selectors::original;
use multicluster_api::syntax::is_subdomain;
use multicluster_api::view::PodView;
use serde_json::Value;

use super::object::{Kind, ObjectKey};

/// Labels, or an equality selector.
pub type Labels = BTreeMap<String, String>;

/// A proxy pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// UID.
    pub uid: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Labels, without ours.
    pub labels: Arc<Labels>,
    /// Which labels keep their keys on the delegate: a regular expression.
    pub no_prefix: Option<Arc<str>>,
    /// The ConfigMaps and Secrets that it uses.
    pub references: Arc<References>,
    /// The virtual node that it is bound to.
    pub node: Option<Arc<str>>,
    /// Its Ready condition holds, and nobody has deleted it.
    pub ready: bool,
}

impl PodFacts {
    /// Of a pod as it is watched.
    pub fn of(pod: &PodView) -> Self {
        let metadata = &pod.metadata;
        let labels = metadata.labels.iter().flatten().filter(|(key, _)| !names::is_ours(key));
        let annotations = metadata.annotations.as_ref();
        let no_prefix = annotations.and_then(|annotations| annotations.get(names::NO_PREFIX_LABEL_REGEXP));
        let node = Some(pod.spec.node_name.as_str()).filter(|name| !name.is_empty());
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            namespace: metadata.namespace.as_deref().unwrap_or_default().into(),
            labels: Arc::new(labels.map(|(key, value)| (key.clone(), value.clone())).collect()),
            no_prefix: no_prefix.map(|regexp| regexp.as_str().into()),
            references: Arc::new(References::of_view(&pod.spec)),
            node: node.map(Arc::from),
            ready: metadata.deletion_timestamp.is_none() && is_ready(&pod.status),
        }
    }
}

fn is_ready(status: &PodStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A Service that selects pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Which one.
    pub key: ObjectKey,
    /// Its selector as the user wrote it. One that is empty selects nothing.
    pub selector: Labels,
}

impl ServiceFacts {
    /// Of a Service; `None` when it follows no pods: it has no selector, or its type is ExternalName.
    pub fn of(service: &Value) -> Option<Self> {
        let spec = service.get("spec")?;
        let selector = spec.get("selector")?.as_object()?;
        let pairs = selector
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        let selector: Labels = pairs.collect();
        if selector.is_empty() || spec["type"] == "ExternalName" {
            return None;
        }
        let annotation = service["metadata"]["annotations"][names::ORIGINAL_SELECTOR].as_str();
        Some(Self {
            key: key_of(Kind::Service, service)?,
            selector: original(&selector, annotation),
        })
    }
}

/// An Ingress or an HTTPRoute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFacts {
    /// Which one.
    pub key: ObjectKey,
    /// The Services of its own namespace that it routes to. Those of others are left out.
    pub services: BTreeSet<String>,
    /// The Secrets that its TLS names.
    pub secrets: BTreeSet<String>,
}

impl RouteFacts {
    /// Of an Ingress or an HTTPRoute; `None` when it has no name.
    pub fn of(kind: Kind, route: &Value) -> Option<Self> {
        let key = key_of(kind, route)?;
        let spec = &route["spec"];
        let (services, secrets) = match kind {
            Kind::Ingress => (ingress_services(spec), ingress_secrets(spec)),
            Kind::HttpRoute => (http_route_services(spec, &key.namespace), BTreeSet::new()),
            _ => return None,
        };
        Some(Self { key, services, secrets })
    }
}

/// The names under which an Ingress or an HTTPRoute is reached, in order, without doubles. Wildcards stay. What is no name
/// is left out.
pub fn hosts(kind: Kind, object: &Value) -> Vec<String> {
    let spec = &object["spec"];
    let hosts: BTreeSet<&str> = match kind {
        Kind::Ingress => {
            let rules = items(&spec["rules"]).map(|rule| &rule["host"]);
            let tls = items(&spec["tls"]).flat_map(|tls| items(&tls["hosts"]));
            rules.chain(tls).filter_map(Value::as_str).collect()
        }
        Kind::HttpRoute => items(&spec["hostnames"]).filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    };
    let is_host = |host: &&str| is_subdomain(host.strip_prefix("*.").unwrap_or(host));
    hosts.into_iter().filter(is_host).map(str::to_owned).collect()
}

/// Name and number of the ports that an object opens to the outside: those of a Service; 80, and 443 when it has TLS, of an
/// Ingress. Those of an HTTPRoute are its Gateway's to know.
pub fn ports(kind: Kind, object: &Value) -> Vec<(Option<String>, u16)> {
    let spec = &object["spec"];
    match kind {
        Kind::Service => items(&spec["ports"])
            .filter_map(|port| {
                let number = port["port"].as_u64()?.try_into().ok()?;
                Some((port["name"].as_str().map(str::to_owned), number))
            })
            .collect(),
        Kind::Ingress => {
            let tls = items(&spec["tls"]).next().map(|_| (Some("https".into()), 443));
            [(Some("http".into()), 80)].into_iter().chain(tls).collect()
        }
        _ => Vec::new(),
    }
}

/// Namespace and name of the Gateways that an HTTPRoute attaches to, in order, without doubles.
pub fn gateways(kind: Kind, object: &Value) -> Vec<(String, String)> {
    if kind != Kind::HttpRoute {
        return Vec::new();
    }
    let own = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let gateways = items(&object["spec"]["parentRefs"]).filter_map(|parent| {
        let group = parent["group"].as_str().unwrap_or("gateway.networking.k8s.io");
        let kind = parent["kind"].as_str().unwrap_or("Gateway");
        let namespace = parent["namespace"].as_str().unwrap_or(own);
        let name = parent["name"].as_str()?;
        let is_gateway = (group, kind) == ("gateway.networking.k8s.io", "Gateway");
        (is_gateway && is_subdomain(namespace) && is_subdomain(name)).then(|| (namespace.to_owned(), name.to_owned()))
    });
    gateways.collect::<BTreeSet<_>>().into_iter().collect()
}

fn ingress_services(spec: &Value) -> BTreeSet<String> {
    let paths = items(&spec["rules"]).flat_map(|rule| items(&rule["http"]["paths"]));
    let backends = paths.map(|path| &path["backend"]).chain([&spec["defaultBackend"]]);
    named(backends.map(|backend| &backend["service"]["name"]))
}

fn ingress_secrets(spec: &Value) -> BTreeSet<String> {
    named(items(&spec["tls"]).map(|tls| &tls["secretName"]))
}

/// Requests that a filter mirrors go to a Service too.
fn http_route_services(spec: &Value, own: &str) -> BTreeSet<String> {
    let rules = || items(&spec["rules"]);
    let backends = || rules().flat_map(|rule| items(&rule["backendRefs"]));
    let filters = rules().chain(backends()).flat_map(|with| items(&with["filters"]));
    let mirrors = filters.map(|filter| &filter["requestMirror"]["backendRef"]);
    let here = backends().chain(mirrors).filter(|backend| {
        let is = |field: &str, default: &str| backend[field].as_str().unwrap_or(default) == default;
        is("group", "") && is("kind", "Service") && is("namespace", own)
    });
    named(here.map(|backend| &backend["name"]))
}

/// What no object can be called is no object.
fn named<'a>(names: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    let names = names.filter_map(Value::as_str).filter(|name| is_subdomain(name));
    names.map(str::to_owned).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> + Clone {
    list.as_array().into_iter().flatten()
}

fn key_of(kind: Kind, object: &Value) -> Option<ObjectKey> {
    let metadata = object.get("metadata")?;
    Some(ObjectKey::new(
        kind,
        metadata["namespace"].as_str()?,
        metadata["name"].as_str()?,
    ))
}

#[cfg(test)]
mod tests;
