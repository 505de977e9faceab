//! Objects of any kind, as values: what tests read and wait for.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{Cluster, eventually};

use super::world::{SOON, World};

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ConfigMap,
    Secret,
    Service,
    Ingress,
    HttpRoute,
    Gateway,
    DnsEndpoint,
    EndpointSlice,
    ServiceExport,
    ServiceImport,
}

pub use Kind::{ConfigMap, DnsEndpoint, EndpointSlice, Gateway, HttpRoute, Ingress, Secret, Service};

impl Kind {
    fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            Self::Gateway => ("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
            Self::DnsEndpoint => ("externaldns.k8s.io", "v1alpha1", "DNSEndpoint", "dnsendpoints"),
            Self::EndpointSlice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
            Self::ServiceExport => ("multicluster.x-k8s.io", "v1alpha1", "ServiceExport", "serviceexports"),
            Self::ServiceImport => ("multicluster.x-k8s.io", "v1alpha1", "ServiceImport", "serviceimports"),
        };
        let api_version = [group, version].join("/").trim_start_matches('/').to_owned();
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        }
    }

    /// An object of this kind with nothing but a name; fill in the rest.
    pub fn object(self, namespace: &str, name: &str, body: Value) -> Value {
        let resource = self.resource();
        let mut object = json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": { "namespace": namespace, "name": name },
        });
        merge(&mut object, body);
        object
    }
}

/// Objects in one go.
pub fn list(items: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

/// Adds the fields of one value to another.
pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

pub fn api(cluster: &Cluster, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(cluster.client(), namespace, &kind.resource())
}

/// The annotations of an object.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key].as_str()
}

/// The label of an object.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"][key].as_str()
}

/// An entry of a ConfigMap or a Secret, as text.
pub fn entry(object: &Value, key: &str) -> Option<String> {
    let text = object["data"][key].as_str()?;
    if object["kind"] == "ConfigMap" {
        return Some(text.to_owned());
    }
    let bytes: k8s_openapi::ByteString = serde_json::from_value(json!(text)).ok()?;
    String::from_utf8(bytes.0).ok()
}

impl World {
    /// An object, if it is there.
    pub async fn find(&self, cluster: &str, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        let found = api(self.cluster(cluster), kind, namespace).get_opt(name).await?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// All objects of a kind in a namespace that a label selector matches.
    pub async fn all(&self, cluster: &str, kind: Kind, namespace: &str, labels: &str) -> Result<Vec<Value>> {
        let objects = api(self.cluster(cluster), kind, namespace);
        let list = objects.list(&ListParams::default().labels(labels)).await?;
        Ok(list.items.iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
    }

    /// Wait until an object is there and is as it should be.
    pub async fn becomes(
        &self,
        cluster: &str,
        kind: Kind,
        namespace: &str,
        name: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let what = format!("{kind:?} {namespace}/{name} in {cluster} to be as it should");
        eventually(&what, SOON, async || {
            let found = self.find(cluster, kind, namespace, name).await?;
            let found = found.context("it is not there")?;
            ensure!(holds(&found), "{found:#}");
            Ok(Some(found))
        })
        .await
    }

    /// Wait until an object is there.
    pub async fn arrives(&self, cluster: &str, kind: Kind, namespace: &str, name: &str) -> Result<Value> {
        self.becomes(cluster, kind, namespace, name, |_| true).await
    }

    /// Wait until an object is not there.
    pub async fn leaves(&self, cluster: &str, kind: Kind, namespace: &str, name: &str) -> Result<()> {
        let what = format!("{kind:?} {namespace}/{name} to leave {cluster}");
        eventually(&what, SOON, async || {
            Ok(self.find(cluster, kind, namespace, name).await?.is_none().then_some(()))
        })
        .await
    }

    /// [`World::becomes`], and how long it took since `start`.
    pub async fn becomes_since(
        &self,
        start: Instant,
        (cluster, kind, namespace, name): (&str, Kind, &str, &str),
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Duration> {
        self.becomes(cluster, kind, namespace, name, holds).await?;
        Ok(start.elapsed())
    }

    /// Change an object in place.
    pub async fn patch(&self, cluster: &str, kind: Kind, namespace: &str, name: &str, patch: Value) -> Result<()> {
        let objects = api(self.cluster(cluster), kind, namespace);
        objects
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Delete an object.
    pub async fn remove(&self, cluster: &str, kind: Kind, namespace: &str, name: &str) -> Result<()> {
        let objects = api(self.cluster(cluster), kind, namespace);
        objects.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Set the replicas of a Deployment.
    pub async fn scale(&self, namespace: &str, deployment: &str, replicas: usize) -> Result<()> {
        let replicas = format!("--replicas={replicas}");
        let args = ["scale", "deployment", "-n", namespace, deployment, &replicas];
        self.source().kubectl(&args).await.map(drop)
    }

    /// Wait for a warning about an object of the source whose message has all of these words.
    pub async fn warned(&self, namespace: &str, kind: &str, name: &str, words: &[&str]) -> Result<Event> {
        let events = Api::<Event>::namespaced(self.source().client(), namespace);
        let what = format!("a warning about {kind} {namespace}/{name} with {words:?}");
        eventually(&what, SOON, async || {
            let all = events.list(&ListParams::default()).await?.items;
            let about = |event: &&Event| {
                event.involved_object.kind.as_deref() == Some(kind)
                    && event.involved_object.name.as_deref() == Some(name)
            };
            let text = |event: &Event| event.message.clone().unwrap_or_default();
            let found = all.iter().filter(about).find(|event| {
                let text = text(event);
                event.type_.as_deref() == Some("Warning") && words.iter().all(|word| text.contains(word))
            });
            let seen: Vec<_> = all.iter().filter(about).map(text).collect();
            ensure!(found.is_some(), "{seen:?}");
            Ok(found.cloned())
        })
        .await
    }
}
