//! What the Secret of a Kubeconfig says of itself. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use multicluster_api::names;
use multicluster_api::target::DEFAULT_KUBECONFIG_KEY;
use multicluster_api::virtual_node::short_hash;

/// Hex digits of the hashes in annotations.
const DIGITS: usize = 32;

/// The Secret that a Kubeconfig names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// There is none.
    Missing,
    /// It is somebody else's. The text says why it is not ours.
    Foreign(String),
    /// It is ours.
    Ours {
        /// It is still this one.
        version: Version,
        /// What it holds; `None` when that is of no use, because somebody has changed it.
        issued: Option<Issued>,
    },
}

/// Which Secret, in which version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// Credentials in a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Hash of what was asked for.
    pub wanted: String,
    /// Value of the annotation [`names::RENEW`] that they were made at.
    pub renew: Option<String>,
    /// When they came, by the clock of the agent.
    pub at: Timestamp,
    /// When they expire.
    pub expires: Timestamp,
}

/// A hash for annotations.
pub fn digest(text: &str) -> String {
    short_hash(text, DIGITS)
}

impl Held {
    /// Look at the Secret that the Kubeconfig of this UID and name wants.
    pub fn of(secret: Option<&Secret>, uid: &str, name: &str) -> Self {
        let Some(secret) = secret else { return Self::Missing };
        let kind = secret.type_.as_deref().unwrap_or("Opaque");
        if kind != names::KUBECONFIG_SECRET {
            return Self::Foreign(format!("it has the type {kind}"));
        }
        match owner(secret) {
            // One of this name that was deleted and made again: the garbage collector would take its Secret away soon.
            Some(owner) if owner.uid == uid || owner.name == name => Self::Ours {
                version: version(secret),
                issued: Some(owner).filter(|owner| owner.uid == uid).and(issued(secret)),
            },
            Some(owner) => Self::Foreign(format!("it belongs to the Kubeconfig {}", owner.name)),
            None => Self::Foreign("it belongs to no Kubeconfig".into()),
        }
    }

    /// What it holds.
    pub fn issued(&self) -> Option<&Issued> {
        match self {
            Self::Ours { issued, .. } => issued.as_ref(),
            Self::Missing | Self::Foreign(_) => None,
        }
    }
}

/// Which Secret this is.
pub fn version(secret: &Secret) -> Version {
    Version {
        uid: secret.metadata.uid.clone().unwrap_or_default(),
        resource_version: secret.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// The Kubeconfig that a Secret is of.
pub fn owner(secret: &Secret) -> Option<&OwnerReference> {
    let ours = |owner: &&OwnerReference| {
        let group = owner.api_version.split('/').next();
        owner.controller == Some(true) && owner.kind == "Kubeconfig" && group == Some(names::GROUP)
    };
    secret.metadata.owner_references.iter().flatten().find(ours)
}

impl Issued {
    /// The annotations that say so, beside the hash of the content.
    pub fn annotations(&self, content: &str) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::from([
            (names::ISSUED_FOR.to_owned(), self.wanted.clone()),
            (names::ISSUED_AT.to_owned(), self.at.to_string()),
            (names::EXPIRES_AT.to_owned(), self.expires.to_string()),
            (names::DIGEST.to_owned(), digest(content)),
        ]);
        if let Some(renew) = &self.renew {
            annotations.insert(names::RENEW.to_owned(), renew.clone());
        }
        annotations
    }
}

fn issued(secret: &Secret) -> Option<Issued> {
    let annotations = secret.metadata.annotations.as_ref()?;
    let content = &secret.data.as_ref()?.get(DEFAULT_KUBECONFIG_KEY)?.0;
    let intact = annotations.get(names::DIGEST) == Some(&digest(std::str::from_utf8(content).ok()?));
    let time = |name: &str| annotations.get(name)?.parse().ok();
    let issued = Issued {
        wanted: annotations.get(names::ISSUED_FOR)?.clone(),
        renew: annotations.get(names::RENEW).cloned(),
        at: time(names::ISSUED_AT)?,
        expires: time(names::EXPIRES_AT)?,
    };
    intact.then_some(issued)
}

#[cfg(test)]
#[path = "tests/held.rs"]
mod tests;
