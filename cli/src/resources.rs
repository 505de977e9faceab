//! The kinds that are written here, as objects whose content is JSON.

use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use multicluster_api::{ClusterSource, ClusterTarget, Kubeconfig, Source, Target, TrustedIdentityProvider};

/// A kind that is written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Namespace,
    ServiceAccount,
    Secret,
    Source,
    ClusterSource,
    TrustedIdentityProvider,
    Kubeconfig,
    Target,
    ClusterTarget,
}

impl Kind {
    /// How the API server calls it.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::Namespace => ApiResource::erase::<Namespace>(&()),
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::Source => ApiResource::erase::<Source>(&()),
            Self::ClusterSource => ApiResource::erase::<ClusterSource>(&()),
            Self::TrustedIdentityProvider => ApiResource::erase::<TrustedIdentityProvider>(&()),
            Self::Kubeconfig => ApiResource::erase::<Kubeconfig>(&()),
            Self::Target => ApiResource::erase::<Target>(&()),
            Self::ClusterTarget => ApiResource::erase::<ClusterTarget>(&()),
        }
    }

    /// Its field besides the metadata.
    pub fn content(self) -> Option<&'static str> {
        match self {
            Self::Namespace | Self::ServiceAccount => None,
            Self::Secret => Some("data"),
            _ => Some("spec"),
        }
    }

    /// Objects of this kind, in a namespace if it is namespaced.
    pub fn api(self, client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
        let resource = self.resource();
        match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        }
    }
}
