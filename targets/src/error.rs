//! Why a target cannot be connected, in words for its owner.

/// Why a target cannot be connected. No variant carries a piece of the Secret's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The spec contradicts itself.
    #[error("spec: {0}")]
    InvalidSpec(&'static str),
    /// The Secret does not exist.
    #[error("Secret {namespace}/{name} not found: create it with a kubeconfig for the target cluster")]
    SecretNotFound {
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
    },
    /// The Secret has no such key.
    #[error(
        "Secret {namespace}/{name} has no key {key:?}: put the kubeconfig there, or name its key in kubeconfigSecret.key"
    )]
    KeyNotFound {
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
        /// The key looked for.
        key: String,
    },
    /// The Secret cannot be read.
    #[error("Secret cannot be read: {0}")]
    SecretUnreadable(String),
    /// What the Secret holds is no kubeconfig.
    #[error("kubeconfig: {0}")]
    InvalidKubeconfig(String),
}

impl ConnectError {
    /// The error as the reason of a condition or event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSpec(_) => "InvalidSpec",
            Self::SecretNotFound { .. } => "SecretNotFound",
            Self::KeyNotFound { .. } => "SecretKeyNotFound",
            Self::SecretUnreadable(_) => "SecretUnreadable",
            Self::InvalidKubeconfig(_) => "InvalidKubeconfig",
        }
    }
}
