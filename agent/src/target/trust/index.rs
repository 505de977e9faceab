//! What is watched, and what follows from it.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::{Resource, ResourceExt};
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider, names};
use multicluster_trust::{ProviderRef, Trust, decide};

use super::role::Role;
use crate::changes::{Change, Key, key_of};
use crate::target::index::newer;

/// A change of something that is watched.
pub enum News {
    /// Of a provider.
    Provider(Change<TrustedIdentityProvider>),
    /// Of a Source.
    Source(Change<Source>),
    /// Of a ClusterSource.
    ClusterSource(Change<ClusterSource>),
    /// Of the ClusterRole.
    Role(Change<ClusterRole>),
}

struct Kept<K> {
    objects: BTreeMap<Key, K>,
    listed: bool,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            listed: false,
        }
    }
}

impl<K: Resource> Kept<K> {
    fn take(&mut self, change: Change<K>) {
        match change {
            Change::Put(mut object) => {
                object.managed_fields_mut().clear();
                self.objects.insert(key_of(&object), object);
            }
            Change::Gone(key) => drop(self.objects.remove(&key)),
            Change::Listed => self.listed = true,
        }
    }
}

/// What is watched.
#[derive(Default)]
pub struct Index {
    providers: Kept<TrustedIdentityProvider>,
    sources: Kept<Source>,
    cluster_sources: Kept<ClusterSource>,
    role: Kept<ClusterRole>,
}

/// What follows.
#[derive(Debug)]
pub struct Decision {
    /// Whom to believe.
    pub trust: Trust,
    /// What the ClusterRole should say.
    pub role: Role,
}

impl Index {
    /// Take in a change.
    pub fn take(&mut self, news: News) {
        match news {
            News::Provider(change) => self.providers.take(change),
            News::Source(change) => self.sources.take(change),
            News::ClusterSource(change) => self.cluster_sources.take(change),
            // The answer to a write may come before the events of earlier ones.
            News::Role(Change::Put(role)) if self.role().is_some_and(|known| is_newer(known, &role)) => {}
            News::Role(change) => self.role.take(change),
        }
    }

    /// The ClusterRole was read just now, or was not there. This counts, whatever its version: a cluster that was restored
    /// from a backup counts from an earlier one.
    pub fn read_role(&mut self, role: Option<ClusterRole>) {
        self.role.objects.clear();
        if let Some(role) = role {
            self.role.take(Change::Put(role));
        }
    }

    /// The ClusterRole, as it was last seen.
    pub fn role(&self) -> Option<&ClusterRole> {
        self.role
            .objects
            .values()
            .find(|role| role.name_any() == names::IMPERSONATION_ROLE)
    }

    /// A provider, unless it is another one by now.
    pub fn provider(&self, reference: &ProviderRef) -> Option<&TrustedIdentityProvider> {
        let key = (reference.namespace.clone(), reference.name.clone());
        let found = self.providers.objects.get(&key);
        found.filter(|found| found.metadata.uid.as_deref() == Some(reference.uid.as_str()))
    }

    /// Whom to believe; `None` until all is known. Until then, nobody loses what he has.
    pub fn decide(&self) -> Option<Decision> {
        let listed = self.providers.listed && self.sources.listed && self.cluster_sources.listed && self.role.listed;
        if !listed {
            return None;
        }
        let trust = decide::decide(
            self.providers.objects.values(),
            self.sources.objects.values(),
            self.cluster_sources.objects.values(),
        );
        let role = Role::of(&trust);
        Some(Decision { trust, role })
    }
}

fn is_newer(known: &ClusterRole, other: &ClusterRole) -> bool {
    let version = |role: &ClusterRole| role.resource_version().unwrap_or_default();
    known.uid() == other.uid() && newer(&version(known), &version(other))
}
