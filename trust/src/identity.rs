//! What a caller can be: a name in a namespace of its cluster.

use std::fmt;

/// `ns/NAMESPACE/id/NAME`.
///
/// The parts are checked as Kubernetes checks names, so neither can hold a slash or a colon, and no identity can pass for
/// another, or for a name of Kubernetes' own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    namespace: String,
    name: String,
}

/// What is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identity: write ns/NAMESPACE/id/NAME")]
pub struct InvalidIdentity;

impl Identity {
    /// An identity of these parts.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidIdentity> {
        let label = namespace.len() <= 63 && !namespace.contains('.');
        if !label || !multicluster_api::syntax::is_subdomain(namespace) || !multicluster_api::syntax::is_subdomain(name)
        {
            return Err(InvalidIdentity);
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Read `ns/NAMESPACE/id/NAME`, the common name of a certificate.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentity> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("ns"), Some(namespace), Some("id"), Some(name), None) => Self::new(namespace, name),
            _ => Err(InvalidIdentity),
        }
    }

    /// Read `system:serviceaccount:NAMESPACE:NAME`, the subject of a ServiceAccount's token.
    pub fn of_service_account(subject: &str) -> Result<Self, InvalidIdentity> {
        let rest = subject.strip_prefix("system:serviceaccount:").ok_or(InvalidIdentity)?;
        let (namespace, name) = rest.split_once(':').ok_or(InvalidIdentity)?;
        Self::new(namespace, name)
    }

    /// The namespace, in the caller's cluster.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ns/{}/id/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests;
