//! The rules of the ClusterRole that lists whom the authenticating proxy may impersonate. Pure.
//!
//! RBAC knows no prefixes: every user and every group stands there by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use multicluster_trust::{ProviderRef, Trust, Trusted};

/// Names in one rule: so many that a person can still read one.
pub const NAMES_PER_RULE: usize = 1_000;
/// Bytes of names in the whole role. etcd takes objects of 1.5 MiB; the policy that checks the role has to come to an end,
/// too.
pub const MAX_BYTES: usize = 512 * 1024;
/// What a name takes besides itself.
const OVERHEAD: usize = 4;

/// What the ClusterRole should say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Role {
    /// Names of users, in order.
    pub users: BTreeSet<String>,
    /// Names of groups, in order.
    pub groups: BTreeSet<String>,
    /// Providers that are believed, and for whose users there is no room.
    pub left_out: BTreeSet<ProviderRef>,
}

impl Role {
    /// The role for those who are trusted. When there are too many, the providers with the most are left out: nobody can
    /// push others out by naming many.
    pub fn of(trust: &Trust) -> Self {
        let mut trusted: Vec<_> = trust
            .trusted()
            .map(|trusted| (size(trusted), &trusted.provider.reference, trusted))
            .collect();
        trusted.sort_by(|(a_size, a, _), (b_size, b, _)| (a_size, a).cmp(&(b_size, b)));
        let (mut role, mut room) = (Self::default(), MAX_BYTES);
        for (size, reference, trusted) in trusted {
            match room.checked_sub(size) {
                Some(left) => {
                    room = left;
                    role.users.extend(trusted.users());
                    role.groups.extend(trusted.groups());
                }
                None => {
                    room = 0;
                    role.left_out.insert(reference.clone());
                }
            }
        }
        role
    }

    /// Its rules.
    pub fn rules(&self) -> Vec<PolicyRule> {
        [("users", &self.users), ("groups", &self.groups)]
            .into_iter()
            .flat_map(|(resource, names)| {
                let names: Vec<_> = names.iter().cloned().collect();
                let chunks = names.chunks(NAMES_PER_RULE);
                chunks.map(|names| rule(resource, names)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Does the ClusterRole say just this?
    pub fn is(&self, found: &ClusterRole) -> bool {
        found.rules.as_deref().unwrap_or_default() == self.rules() && found.aggregation_rule.is_none()
    }
}

fn size(trusted: &Arc<Trusted>) -> usize {
    let names = trusted.users().into_iter().chain(trusted.groups());
    names.map(|name| name.len() + OVERHEAD).sum()
}

fn rule(resource: &str, names: &[String]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec![resource.into()]),
        resource_names: Some(names.to_vec()),
        verbs: vec!["impersonate".into()],
        ..Default::default()
    }
}
