//! One cluster that serves an application to the outside.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::source::following::object::ObjectKey;

/// Where a load balancer is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// By address.
    Ip(IpAddr),
    /// By name.
    Hostname(String),
}

/// One cluster, as far as an application is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The virtual node that stands for it.
    pub node: String,
    /// Which cluster this is; two targets may lead to one. The virtual node's name where nobody knows.
    pub cluster: String,
    /// Addresses of the cluster's load balancer for the object, as its copy's status says. In order, without doubles.
    pub addresses: Vec<Address>,
    /// Ready pods there, behind the object.
    pub ready: u32,
    /// It answers. A site that does not serves nobody, as far as anybody can know.
    pub healthy: bool,
    /// The target's label `topology.kubernetes.io/region`.
    pub region: Option<String>,
    /// It is the source's own cluster: a controller there writes the object's status, not this agent.
    pub own: bool,
}

/// Something that is reached from outside: an Ingress, an HTTPRoute, or a Service of type LoadBalancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Which object of the source.
    pub key: ObjectKey,
    /// Its UID.
    pub uid: String,
    /// When it was made. Of two objects that claim one name, the older one has it.
    pub created: Option<Timestamp>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The names under which it is reached; of a Service, those that its annotations say.
    pub hosts: Vec<String>,
    /// Number and name of the ports that are open to the outside.
    pub ports: Vec<(Option<String>, u16)>,
    /// Namespace and name of the Gateways that an HTTPRoute attaches to.
    pub gateways: Vec<(String, String)>,
    /// The clusters that it follows pods to, in order of their virtual nodes.
    pub sites: Vec<Site>,
}
