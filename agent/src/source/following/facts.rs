//! What is known of the source's objects, as far as it decides where things go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use multicluster_api::references::References;
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
        let _ = pod;
        Self {
            uid: "".into(),
            namespace: "".into(),
            labels: Arc::default(),
            no_prefix: None,
            references: Arc::default(),
            node: None,
            ready: false,
        }
    }
}

/// A Service that selects pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Which one.
    pub key: ObjectKey,
    /// Its selector as the user wrote it. Never empty.
    pub selector: Labels,
}

impl ServiceFacts {
    /// Of a Service; `None` when it follows no pods: it has no selector, or its type is ExternalName.
    pub fn of(_service: &Value) -> Option<Self> {
        None
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
    pub fn of(_kind: Kind, _route: &Value) -> Option<Self> {
        None
    }
}

/// The names under which an Ingress or an HTTPRoute is reached, in order, without doubles. Wildcards stay.
pub fn hosts(_kind: Kind, _object: &Value) -> Vec<String> {
    Vec::new()
}

/// Name and number of the ports that an object opens to the outside: those of a Service; 80, and 443 when it has TLS, of an
/// Ingress. An HTTPRoute's Gateway knows them.
pub fn ports(_kind: Kind, _object: &Value) -> Vec<(Option<String>, u16)> {
    Vec::new()
}

/// Namespace and name of the Gateways that an HTTPRoute attaches to, in order, without doubles.
pub fn gateways(_kind: Kind, _object: &Value) -> Vec<(String, String)> {
    Vec::new()
}
