//! The pods behind an exported Service, as endpoints. Follows what Kubernetes' own endpoint slice controller does
//! (k8s.io/endpointslice), but that nothing refers to a pod or a node, which are in another cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::clusters::ClusterName;
use super::exportable::{Exportable, TCP, TargetPort};
use crate::source::ports::NamedPort;

/// A pod behind a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend<'a> {
    /// Where it runs.
    pub cluster: ClusterName,
    /// That cluster can be asked how it does.
    pub reachable: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// It says that it is ready.
    pub ready: bool,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// Its name in DNS below the Service's.
    pub hostname: Option<&'a str>,
    /// The names that its containers give to ports.
    pub ports: &'a [NamedPort],
}

/// One address behind a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// It takes new connections.
    pub ready: bool,
    /// It answers, though it may be about to end.
    pub serving: bool,
    /// It ends.
    pub terminating: bool,
    /// Its name in DNS below the Service's.
    pub hostname: Option<String>,
}

/// IPv4 or IPv6. A slice holds addresses of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Of an address.
    pub fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// A port of endpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointPort {
    /// The Service's name for it.
    pub name: String,
    /// Protocol.
    pub protocol: String,
    /// Number.
    pub port: i32,
    /// What is spoken there, as a hint.
    pub app_protocol: Option<String>,
}

/// Endpoints that may share a slice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Where they are.
    pub cluster: ClusterName,
    /// Their addresses' family.
    pub family: Family,
    /// Their ports.
    pub ports: Vec<EndpointPort>,
}

/// All endpoints of a Service.
pub type Endpoints = BTreeMap<Group, BTreeMap<IpAddr, Endpoint>>;

/// The endpoints of `service` that these pods are.
pub fn endpoints<'a>(service: &Exportable, backends: impl IntoIterator<Item = Backend<'a>>) -> Endpoints {
    let mut all = Endpoints::new();
    for backend in backends {
        let ports = ports(service, backend.ports);
        if ports.is_empty() && !service.ports.is_empty() {
            continue;
        }
        let serving = backend.ready && backend.reachable;
        let endpoint = Endpoint {
            ready: service.publish_not_ready || (serving && !backend.terminating),
            serving,
            terminating: backend.terminating,
            hostname: backend.hostname.map(str::to_owned),
        };
        for address in backend.addresses.iter().filter_map(usable) {
            let group = Group {
                cluster: backend.cluster.clone(),
                family: Family::of(&address),
                ports: ports.clone(),
            };
            put(&mut all, group, address, endpoint.clone());
        }
    }
    all
}

/// Add what the source's own controllers say of pods of the source, but not what is known better: proxy pods have
/// addresses, too, those of their delegates.
pub fn add_own<'a>(
    all: &mut Endpoints,
    source: &ClusterName,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    is_proxy: impl Fn(&IpAddr) -> bool,
) {
    for slice in slices {
        let mut ports: Vec<_> = slice.ports.iter().flatten().filter_map(own_port).collect();
        ports.sort();
        for endpoint in slice.endpoints.iter().flatten() {
            // Further addresses of an endpoint mean the same one (the API says: they are not used).
            let address = endpoint.addresses.first().and_then(|address| address.parse().ok());
            let Some(address) = address.as_ref().and_then(usable).filter(|address| !is_proxy(address)) else {
                continue;
            };
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let ready = conditions.ready.unwrap_or(true);
            let own = Endpoint {
                ready,
                serving: conditions.serving.unwrap_or(ready),
                terminating: conditions.terminating.unwrap_or_default(),
                hostname: endpoint.hostname.clone(),
            };
            let group = Group {
                cluster: source.clone(),
                family: Family::of(&address),
                ports: ports.clone(),
            };
            put(all, group, address, own);
        }
    }
}

fn own_port(port: &k8s_openapi::api::discovery::v1::EndpointPort) -> Option<EndpointPort> {
    Some(EndpointPort {
        name: port.name.clone().unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_else(|| TCP.into()),
        port: port.port?,
        app_protocol: port.app_protocol.clone(),
    })
}

/// Pods in their node's network share addresses: one of them that is ready is enough.
fn put(all: &mut Endpoints, group: Group, address: IpAddr, endpoint: Endpoint) {
    let rank = |endpoint: &Endpoint| (endpoint.ready, endpoint.serving, !endpoint.terminating);
    let addresses = all.entry(group).or_default();
    match addresses.get_mut(&address) {
        Some(known) if rank(known) >= rank(&endpoint) => {}
        Some(known) => *known = endpoint,
        None => {
            addresses.insert(address, endpoint);
        }
    }
}

/// The Service's ports, as far as the pod has them.
fn ports(service: &Exportable, named: &[NamedPort]) -> Vec<EndpointPort> {
    let resolve = |port: &super::exportable::Port| {
        let number = match &port.target {
            TargetPort::Number(number) => *number,
            TargetPort::Name(name) => {
                let is_meant = |known: &&NamedPort| known.name == *name && known.protocol == port.protocol;
                named.iter().find(is_meant)?.number
            }
        };
        Some(EndpointPort {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
            port: number,
            app_protocol: port.app_protocol.clone(),
        })
    };
    let mut ports: Vec<_> = service.ports.iter().filter_map(resolve).collect();
    ports.sort();
    ports
}

/// The API server refuses a slice with an address that means the node itself, or many; and addresses come from targets,
/// who may write what they like.
fn usable(address: &IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    let is_link_local = match &address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_special = address.is_loopback() || address.is_unspecified() || address.is_multicast();
    (!is_link_local && !is_special).then_some(address)
}
