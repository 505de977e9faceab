//! What is kept of an object of the source that may be reached from outside. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use multicluster_api::names;
use serde_json::Value;

use super::copy::Context;
use super::facts;
use super::held::Held;
use super::object::Kind;
use crate::source::exposure::site::Address;

/// An Ingress, an HTTPRoute, or a Service of type LoadBalancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// UID.
    pub uid: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Its annotations, but for copies of itself.
    pub annotations: BTreeMap<String, String>,
    /// The names under which it is reached.
    pub hosts: Vec<String>,
    /// Its ports.
    pub ports: Vec<(Option<String>, u16)>,
    /// The Gateways that it attaches to.
    pub gateways: Vec<(String, String)>,
    /// The addresses that its own status says.
    pub addresses: Vec<Address>,
}

impl Shown {
    /// Of an object; `None` when it is not reached from outside.
    pub fn of(kind: Kind, object: &Value) -> Option<Self> {
        match kind {
            Kind::ConfigMap | Kind::Secret | Kind::ServiceImport | Kind::EndpointSlice => return None,
            Kind::Service if object["spec"]["type"] != "LoadBalancer" => return None,
            Kind::Service | Kind::Ingress | Kind::HttpRoute => {}
        }
        let metadata = &object["metadata"];
        let nobody = Context {
            cluster_name: "",
            source_user: None,
            selector: None,
        };
        let annotations = metadata["annotations"].as_object().into_iter().flatten();
        let annotations = annotations.filter(|(key, _)| *key != names::LAST_APPLIED);
        Some(Self {
            uid: metadata["uid"].as_str().unwrap_or_default().to_owned(),
            created: metadata["creationTimestamp"]
                .as_str()
                .and_then(|time| time.parse().ok()),
            annotations: annotations
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            hosts: facts::hosts(kind, object),
            ports: facts::ports(kind, object),
            gateways: facts::gateways(kind, object),
            addresses: Held::of(kind, object, &nobody).addresses,
        })
    }
}
