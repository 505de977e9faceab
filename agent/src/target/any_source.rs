//! A Source or ClusterSource, parsed.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::rbac::v1::Subject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use multicluster_api::source::SourceStatus;
use multicluster_api::virtual_node::short_hash;
use multicluster_api::{ClusterSource, Source};

use super::grants::BINDING_PREFIX;
use crate::changes::Key;

/// A Source or ClusterSource, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct AnySource {
    /// Namespace of a Source; empty for a ClusterSource.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Who is meant.
    pub identity: Result<Identity, &'static str>,
    /// Generation of the spec.
    pub generation: i64,
    /// A reference to the object, for what it owns.
    pub owner: OwnerReference,
    /// The status as last read.
    pub status: SourceStatus,
}

/// Who may send pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A user as the API server knows it.
    User(String),
    /// A ServiceAccount.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

const AMBIGUOUS: &str = "write either a user name or a service account, not both and not neither";

impl From<Source> for AnySource {
    fn from(source: Source) -> Self {
        let namespace = source.namespace().unwrap_or_default();
        let identity = match (source.spec.user_name.clone(), source.spec.service_account_name.clone()) {
            (Some(user), None) => Ok(Identity::User(user)),
            (None, Some(name)) => Ok(Identity::ServiceAccount {
                namespace: namespace.clone(),
                name,
            }),
            _ => Err(AMBIGUOUS),
        };
        Self {
            namespace,
            name: source.name_any(),
            identity,
            generation: source.metadata.generation.unwrap_or_default(),
            owner: source.controller_owner_ref(&()).unwrap_or_default(),
            status: source.status.unwrap_or_default(),
        }
    }
}

impl From<ClusterSource> for AnySource {
    fn from(source: ClusterSource) -> Self {
        let identity = match (source.spec.user_name.clone(), source.spec.service_account.clone()) {
            (Some(user), None) => Ok(Identity::User(user)),
            (None, Some(account)) => Ok(Identity::ServiceAccount {
                namespace: account.namespace,
                name: account.name,
            }),
            _ => Err(AMBIGUOUS),
        };
        Self {
            namespace: String::new(),
            name: source.name_any(),
            identity,
            generation: source.metadata.generation.unwrap_or_default(),
            owner: source.controller_owner_ref(&()).unwrap_or_default(),
            status: source.status.unwrap_or_default(),
        }
    }
}

impl AnySource {
    /// Namespace and name.
    pub fn key(&self) -> Key {
        (self.namespace.clone(), self.name.clone())
    }

    /// Name of the bindings of this source: readable, and never that of another source.
    pub fn binding_name(&self) -> String {
        let hash = short_hash(&format!("{}/{}", self.namespace, self.name), 10);
        let mut front = match self.namespace.as_str() {
            "" => format!("{BINDING_PREFIX}{}", self.name),
            namespace => format!("{BINDING_PREFIX}{namespace}-{}", self.name),
        };
        front.truncate(200);
        format!("{front}-{hash}")
    }

    /// The identity, in RBAC's words.
    pub fn subject(&self, identity: &Identity) -> Subject {
        match identity {
            Identity::User(name) => Subject {
                api_group: Some("rbac.authorization.k8s.io".into()),
                kind: "User".into(),
                name: name.clone(),
                namespace: None,
            },
            Identity::ServiceAccount { namespace, name } => Subject {
                api_group: None,
                kind: "ServiceAccount".into(),
                name: name.clone(),
                namespace: Some(namespace.clone()),
            },
        }
    }

    /// The object, for events.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.owner.api_version.clone()),
            kind: Some(self.owner.kind.clone()),
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            uid: Some(self.owner.uid.clone()),
            ..Default::default()
        }
    }
}
