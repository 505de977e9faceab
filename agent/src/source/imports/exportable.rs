//! What of a Service its imports need to know.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The only protocol that need not be written.
pub const TCP: &str = "TCP";
/// In the place of an address: the Service has none.
const NO_ADDRESS: &str = "None";

/// A Service that can be exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exportable {
    /// Its name.
    pub name: String,
    /// It has no address of its own.
    pub headless: bool,
    /// Its ports.
    pub ports: Vec<Port>,
    /// `ClientIP`, or nothing.
    pub session_affinity: Option<String>,
    /// For how many seconds a client stays.
    pub affinity_seconds: Option<i32>,
    /// Endpoints count as ready whether they are or not.
    pub publish_not_ready: bool,
    /// It wants addresses of both families.
    pub dual_stack: bool,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name; empty if it has none.
    pub name: String,
    /// Protocol.
    pub protocol: String,
    /// Number.
    pub port: i32,
    /// What is spoken there, as a hint.
    pub app_protocol: Option<String>,
    /// Where it leads.
    pub target: TargetPort,
}

/// The port of the pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// By number.
    Number(i32),
    /// By the name that a container gives to it.
    Name(String),
}

/// Why a Service cannot be exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexportable {
    /// There is none.
    #[error("there is no Service of this name: create it, or delete this ServiceExport")]
    NoService,
    /// It stands for a name, not for pods.
    #[error("the Service is of type ExternalName, which has no endpoints: export a Service that selects pods")]
    ExternalName,
}

impl Unexportable {
    /// The reason that the Multi-Cluster Services API has for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoService => "NoService",
            Self::ExternalName => "InvalidServiceType",
        }
    }
}

impl Exportable {
    /// Read a Service.
    pub fn of(service: &Service) -> Result<Self, Unexportable> {
        let spec = service.spec.as_ref();
        let spec = spec.ok_or(Unexportable::NoService)?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return Err(Unexportable::ExternalName);
        }
        let affinity = spec.session_affinity_config.as_ref();
        let client_ip = affinity.and_then(|config| config.client_ip.as_ref());
        Ok(Self {
            name: service.metadata.name.clone().unwrap_or_default(),
            headless: spec.cluster_ip.as_deref() == Some(NO_ADDRESS),
            ports: spec.ports.iter().flatten().map(port).collect(),
            session_affinity: spec.session_affinity.clone().filter(|affinity| affinity == "ClientIP"),
            affinity_seconds: client_ip.and_then(|config| config.timeout_seconds),
            publish_not_ready: spec.publish_not_ready_addresses.unwrap_or_default(),
            dual_stack: spec
                .ip_family_policy
                .as_deref()
                .is_some_and(|policy| policy != "SingleStack"),
        })
    }
}

fn port(port: &ServicePort) -> Port {
    Port {
        name: port.name.clone().unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_else(|| TCP.into()),
        port: port.port,
        app_protocol: port.app_protocol.clone(),
        target: match &port.target_port {
            Some(IntOrString::Int(number)) if *number != 0 => TargetPort::Number(*number),
            Some(IntOrString::String(name)) => match name.parse() {
                Ok(number) => TargetPort::Number(number),
                Err(_) => TargetPort::Name(name.clone()),
            },
            _ => TargetPort::Number(port.port),
        },
    }
}
