//! Where the kubeconfig of a target is kept.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use multicluster_api::target::Access;

use crate::{ConnectError, kubeconfig};

/// A kubeconfig in a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedSecret {
    pub namespace: String,
    pub secret: String,
    pub key: String,
    pub context: Option<String>,
}

impl WantedSecret {
    /// What this Secret holds; `None` is one that does not exist.
    pub fn content(&self, secret: Option<Secret>) -> Result<ByteString, ConnectError> {
        let secret = secret.ok_or_else(|| ConnectError::SecretNotFound {
            namespace: self.namespace.clone(),
            name: self.secret.clone(),
        })?;
        secret
            .data
            .unwrap_or_default()
            .remove(&self.key)
            .ok_or_else(|| ConnectError::KeyNotFound {
                namespace: self.namespace.clone(),
                name: self.secret.clone(),
                key: self.key.clone(),
            })
    }

    async fn read(&self, source: &Client) -> Result<ByteString, ConnectError> {
        let secrets = Api::<Secret>::namespaced(source.clone(), &self.namespace);
        let secret = secrets.get_opt(&self.secret).await;
        self.content(secret.map_err(|error| ConnectError::SecretUnreadable(error.to_string()))?)
    }
}

/// How a target is reached.
pub(crate) enum Way {
    /// It is the cluster where the Target is.
    Here,
    /// By a kubeconfig.
    Secret(WantedSecret),
}

impl Way {
    /// The way that a Target's spec names, if it names one.
    pub fn of(access: &Access) -> Result<Self, ConnectError> {
        match access {
            Access::SelfCluster => Ok(Self::Here),
            Access::Invalid(message) => Err(ConnectError::InvalidSpec(message)),
            Access::Kubeconfig {
                namespace,
                secret,
                key,
                context,
            } => Ok(Self::Secret(WantedSecret {
                namespace: namespace.clone(),
                secret: secret.clone(),
                key: key.clone(),
                context: context.clone(),
            })),
        }
    }
}

/// A client for a target, by what its Secret says just now. `source` is the cluster where the Target is.
pub async fn connect(source: &Client, access: &Access) -> Result<Client, ConnectError> {
    match Way::of(access)? {
        Way::Here => Ok(source.clone()),
        Way::Secret(wanted) => kubeconfig::client(&wanted.read(source).await?, wanted.context.as_deref()).await,
    }
}
