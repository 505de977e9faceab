//! Which objects follow pods.

use kube::api::ApiResource;

/// A kind of objects that the source has in its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// v1 ConfigMap: followed because a pod uses it.
    ConfigMap,
    /// v1 Secret: followed because a pod uses it, or the TLS part of an Ingress.
    Secret,
    /// v1 Service: followed because it selects a pod.
    Service,
    /// networking.k8s.io/v1 Ingress: followed because it routes to such a Service.
    Ingress,
    /// gateway.networking.k8s.io/v1 HTTPRoute: followed because it routes to such a Service. Its definition may be missing.
    HttpRoute,
    /// multicluster.x-k8s.io/v1alpha1 ServiceImport: follows no pod, but is made for an exported Service. Its definition may
    /// be missing.
    ServiceImport,
    /// discovery.k8s.io/v1 EndpointSlice: likewise.
    EndpointSlice,
}

impl Kind {
    /// Those that follow pods, in the order in which they are made: what others use comes first.
    pub const ALL: [Self; 5] = [
        Self::ConfigMap,
        Self::Secret,
        Self::Service,
        Self::Ingress,
        Self::HttpRoute,
    ];

    /// Where the API server has it.
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            Self::ServiceImport => ("multicluster.x-k8s.io", "v1alpha1", "ServiceImport", "serviceimports"),
            Self::EndpointSlice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
        };
        let api_version = match group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        };
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        }
    }
}

/// An object of the source that may follow pods; its copies have the same namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Kind.
    pub kind: Kind,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// An object of this kind.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}
