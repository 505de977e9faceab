//! Which providers are believed, and of which users.
//!
//! * Two providers whose prefixes overlap, or whose proofs could be taken for each other's (an authority's key or an issuer
//!   with an audience in common), are not believed both: those in [`names::INSTALL_NAMESPACE`] come first, then the older
//!   one, then by namespace and name.
//! * A provider speaks for the users that Sources of its own namespace name; one in [`names::INSTALL_NAMESPACE`], for those
//!   that any Source or ClusterSource names. And for those that it lists itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt;
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider, names};

use crate::identity::Identity;
use crate::pem;
use crate::provider::{InvalidProvider, Proof, Provider, ProviderRef};

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

/// Decide whom to believe. What is being deleted counts as gone; the order of the objects does not count.
pub fn decide<'a>(
    providers: impl IntoIterator<Item = &'a TrustedIdentityProvider>,
    sources: impl IntoIterator<Item = &'a Source>,
    cluster_sources: impl IntoIterator<Item = &'a ClusterSource>,
) -> Trust {
    let named = Named::of(sources, cluster_sources);
    let mut objects: Vec<_> = providers.into_iter().filter(|object| !is_going(*object)).collect();
    objects.sort_by_cached_key(|object| rank(object));
    let mut believed: Vec<Believed> = Vec::new();
    let verdicts = objects.into_iter().map(|object| {
        let verdict = Provider::read(object).map_err(Refusal::from).and_then(|provider| {
            let keys = keys(&provider.proof);
            for first in &believed {
                let name = || {
                    format!(
                        "{}/{}",
                        first.trusted.provider.reference.namespace, first.trusted.provider.reference.name
                    )
                };
                if first.trusted.provider.prefix.overlaps(&provider.prefix) {
                    return Err(Refusal::PrefixTaken(name()));
                }
                if first.shares_proof_with(&provider.proof, &keys) {
                    return Err(Refusal::ProofTaken(name()));
                }
            }
            let admitted = named.admitted(&provider);
            let trusted = Arc::new(Trusted { provider, admitted });
            believed.push(Believed {
                trusted: trusted.clone(),
                keys,
            });
            Ok(trusted)
        });
        (ProviderRef::of(object), verdict)
    });
    Trust {
        providers: verdicts.collect(),
    }
}

fn is_going<K: ResourceExt>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Who comes first.
fn rank(object: &TrustedIdentityProvider) -> impl Ord + use<> {
    let reference = ProviderRef::of(object);
    let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let elsewhere = reference.namespace != names::INSTALL_NAMESPACE;
    (elsewhere, created.is_none(), created, reference)
}

/// The users that Sources name.
struct Named<'a> {
    everywhere: BTreeSet<&'a str>,
    by_namespace: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Named<'a> {
    fn of(
        sources: impl IntoIterator<Item = &'a Source>,
        cluster_sources: impl IntoIterator<Item = &'a ClusterSource>,
    ) -> Self {
        let mut everywhere = BTreeSet::new();
        let mut by_namespace = BTreeMap::<_, BTreeSet<_>>::new();
        for source in sources.into_iter().filter(|source| !is_going(*source)) {
            if let (Some(user), Some(namespace)) = (&source.spec.user_name, &source.metadata.namespace) {
                everywhere.insert(user.as_str());
                by_namespace
                    .entry(namespace.as_str())
                    .or_default()
                    .insert(user.as_str());
            }
        }
        let going = |source: &&ClusterSource| !is_going(*source);
        let users = cluster_sources.into_iter().filter(going);
        everywhere.extend(users.filter_map(|source| source.spec.user_name.as_deref()));
        Self {
            everywhere,
            by_namespace,
        }
    }

    fn admitted(&self, provider: &Provider) -> BTreeSet<Identity> {
        let users = match provider.reference.namespace.as_str() {
            names::INSTALL_NAMESPACE => Some(&self.everywhere),
            namespace => self.by_namespace.get(namespace),
        };
        let named = users
            .into_iter()
            .flatten()
            .filter_map(|user| provider.prefix.identity(user));
        named.chain(provider.identities.iter().cloned()).collect()
    }
}

/// A provider that is believed, while others are held against it.
struct Believed {
    trusted: Arc<Trusted>,
    keys: BTreeSet<Vec<u8>>,
}

impl Believed {
    fn shares_proof_with(&self, proof: &Proof, keys: &BTreeSet<Vec<u8>>) -> bool {
        match (&self.trusted.provider.proof, proof) {
            (Proof::Certificates(_), Proof::Certificates(_)) => !self.keys.is_disjoint(keys),
            (Proof::Tokens(ours), Proof::Tokens(theirs)) => {
                ours.issuer == theirs.issuer && !ours.audiences.is_disjoint(&theirs.audiences)
            }
            _ => false,
        }
    }
}

/// The public keys of the authorities: one key may have several certificates.
fn keys(proof: &Proof) -> BTreeSet<Vec<u8>> {
    match proof {
        Proof::Certificates(authorities) => authorities.iter().filter_map(pem::public_key).collect(),
        Proof::Tokens(_) => BTreeSet::new(),
    }
}

impl Trust {
    /// Those that are believed.
    pub fn trusted(&self) -> impl Iterator<Item = &Arc<Trusted>> {
        self.providers.values().filter_map(|verdict| verdict.as_ref().ok())
    }
}

#[cfg(test)]
mod tests;
