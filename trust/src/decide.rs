//! Which providers are believed, and of which users.
//!
//! * Two providers whose prefixes overlap, or whose proofs could be taken for each other's (an authority's key or an issuer
//!   with an audience in common), are not believed both: those in [`names::INSTALL_NAMESPACE`] come first, then the older
//!   one, then by namespace and name.
//! * A provider speaks for the users that Sources of its own namespace name; one in [`names::INSTALL_NAMESPACE`], for those
//!   that any Source or ClusterSource names. And for those that it lists itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[allow(unused_imports)] // The documentation speaks of it.
use multicluster_api::names;
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider};

use crate::identity::Identity;
use crate::provider::{InvalidProvider, Provider, ProviderRef};

/// A provider that is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Trusted {
    /// The provider.
    pub provider: Provider,
    /// The identities that may call.
    pub admitted: BTreeSet<Identity>,
}

impl Trusted {
    /// The users that the proxy may impersonate for it, with their prefix.
    pub fn users(&self) -> BTreeSet<String> {
        let prefix = &self.provider.prefix;
        self.admitted.iter().map(|identity| prefix.user(identity)).collect()
    }

    /// The groups that the proxy may impersonate for it, with their prefix.
    pub fn groups(&self) -> BTreeSet<String> {
        let prefix = &self.provider.prefix;
        self.provider.groups.iter().map(|group| prefix.group(group)).collect()
    }
}

/// Why a provider is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It makes no sense.
    #[error(transparent)]
    Invalid(#[from] InvalidProvider),
    /// Its names could be another's.
    #[error("spec.prefix overlaps that of {0}: write another")]
    PrefixTaken(String),
    /// Its proofs could be another's.
    #[error("its authority or issuer is that of {0}: write another, or list the audiences apart")]
    ProofTaken(String),
}

/// Whom this cluster believes.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Each provider there is.
    pub providers: BTreeMap<ProviderRef, Result<Arc<Trusted>, Refusal>>,
}

/// Decide whom to believe.
pub fn decide<'a>(
    _providers: impl IntoIterator<Item = &'a TrustedIdentityProvider>,
    _sources: impl IntoIterator<Item = &'a Source>,
    _cluster_sources: impl IntoIterator<Item = &'a ClusterSource>,
) -> Trust {
    Trust::default()
}

impl Trust {
    /// Those that are believed.
    pub fn trusted(&self) -> impl Iterator<Item = &Arc<Trusted>> {
        self.providers.values().filter_map(|verdict| verdict.as_ref().ok())
    }
}
