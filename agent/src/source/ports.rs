//! The names that containers give to their ports, by which Services may mean them.

use std::sync::Arc;

use multicluster_api::view::{ContainerView, PodSpecView};

/// A port of a container that has a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// Name.
    pub name: String,
    /// Protocol.
    pub protocol: String,
    /// Number.
    pub number: i32,
}

/// All of a pod. Most pods have few or none, and those of one controller have the same.
pub type NamedPorts = Arc<[NamedPort]>;

/// The ports with a name of all containers that run as long as the pod does.
pub fn named_ports(spec: &PodSpecView) -> NamedPorts {
    let sidecars = spec.init_containers.iter().filter(|container| is_sidecar(container));
    let containers = spec.containers.iter().chain(sidecars);
    let ports = containers.flat_map(|container| &container.ports);
    ports
        .filter_map(|port| {
            Some(NamedPort {
                name: port.name.clone().filter(|name| !name.is_empty())?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
                number: port.container_port,
            })
        })
        .collect()
}

fn is_sidecar(container: &ContainerView) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}
