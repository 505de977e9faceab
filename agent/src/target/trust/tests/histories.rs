//! Whatever happens in whatever order: the role lists whom the proxy may let in, and is written only to change.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::ClusterRole;
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider, names};
use multicluster_trust::decide;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{cluster_source, empty_role, listed, provider, source, typed};
use crate::changes::{Change, Key};
use crate::target::trust::index::{Index, News};

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Provider {
        key: Key,
        prefix: &'static str,
        listed: bool,
    },
    NoProvider(Key),
    Source {
        key: Key,
        user: String,
    },
    NoSource(Key),
    ClusterSource {
        name: String,
        user: String,
    },
    NoClusterSource(String),
    /// Somebody writes into the role.
    Edit(&'static str),
    /// Somebody takes the role away, or the manifests bring it again.
    NoRole,
    Role,
    /// Another agent leads.
    Restart,
}

/// A cluster, and an agent that sees all that happens.
#[derive(Default)]
struct Cluster {
    providers: BTreeMap<Key, TrustedIdentityProvider>,
    sources: BTreeMap<Key, Source>,
    cluster_sources: BTreeMap<Key, ClusterSource>,
    role: Option<ClusterRole>,
    version: u64,
    made: u64,
    index: Index,
    writes: usize,
}

impl Cluster {
    fn new() -> Self {
        let mut cluster = Self::default();
        cluster.put_role(&empty_role());
        cluster.restart();
        cluster
    }

    fn restart(&mut self) {
        self.index = Index::default();
        // An agent that does not know all yet takes nothing away.
        for provider in self.providers.values() {
            self.index.take(News::Provider(Change::Put(provider.clone())));
            assert!(self.index.decide().is_none());
        }
        self.index.take(News::Provider(Change::Listed));
        for source in self.sources.values() {
            self.index.take(News::Source(Change::Put(source.clone())));
        }
        self.index.take(News::Source(Change::Listed));
        for source in self.cluster_sources.values() {
            self.index.take(News::ClusterSource(Change::Put(source.clone())));
        }
        self.index.take(News::ClusterSource(Change::Listed));
        if let Some(role) = &self.role {
            self.index.take(News::Role(Change::Put(role.clone())));
        }
        assert!(self.index.decide().is_none());
        self.index.take(News::Role(Change::Listed));
    }

    fn put_role(&mut self, role: &Value) {
        self.version += 1;
        let mut role: ClusterRole = typed(role);
        role.metadata.resource_version = Some(self.version.to_string());
        role.metadata.uid.get_or_insert_with(|| format!("role-{}", self.made));
        self.role = Some(role.clone());
        self.index.take(News::Role(Change::Put(role)));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Provider { key, prefix, listed } => {
                let mut object = provider(&key.0, &key.1, prefix);
                self.made += 1;
                object["metadata"]["uid"] = json!(format!("uid-{}", self.made));
                if listed {
                    object["spec"]["identities"] = json!(["ns/default/id/listed"]);
                    object["spec"]["groups"] = json!(["ops"]);
                }
                let object: TrustedIdentityProvider = typed(&object);
                self.providers.insert(key, object.clone());
                self.index.take(News::Provider(Change::Put(object)));
            }
            Step::NoProvider(key) => {
                self.providers.remove(&key);
                self.index.take(News::Provider(Change::Gone(key)));
            }
            Step::Source { key, user } => {
                let object: Source = typed(&source(&key.0, &key.1, &user));
                self.sources.insert(key, object.clone());
                self.index.take(News::Source(Change::Put(object)));
            }
            Step::NoSource(key) => {
                self.sources.remove(&key);
                self.index.take(News::Source(Change::Gone(key)));
            }
            Step::ClusterSource { name, user } => {
                let object: ClusterSource = typed(&cluster_source(&name, &user));
                self.cluster_sources.insert((String::new(), name), object.clone());
                self.index.take(News::ClusterSource(Change::Put(object)));
            }
            Step::NoClusterSource(name) => {
                let key = (String::new(), name);
                self.cluster_sources.remove(&key);
                self.index.take(News::ClusterSource(Change::Gone(key)));
            }
            Step::Edit(name) => {
                if let Some(role) = &self.role {
                    let mut role = serde_json::to_value(role).unwrap();
                    let rule = json!({
                        "apiGroups": [""], "resources": ["users"], "resourceNames": [name], "verbs": ["impersonate"],
                    });
                    let mut rules = role["rules"].as_array().cloned().unwrap_or_default();
                    rules.push(rule);
                    role["rules"] = json!(rules);
                    self.put_role(&role);
                }
            }
            Step::NoRole => {
                if self.role.take().is_some() {
                    self.index.take(News::Role(Change::Gone((
                        String::new(),
                        names::IMPERSONATION_ROLE.into(),
                    ))));
                }
            }
            Step::Role => {
                if self.role.is_none() {
                    self.made += 1;
                    self.put_role(&empty_role());
                }
            }
            Step::Restart => self.restart(),
        }
        self.keep();
    }

    /// The agent's work, once.
    fn keep(&mut self) {
        let decision = self.index.decide().unwrap();
        let Some(found) = self.index.role() else { return };
        if !decision.role.is(found) {
            let before = found.clone();
            let mut role = serde_json::to_value(found).unwrap();
            role["rules"] = json!(decision.role.rules());
            self.put_role(&role);
            assert_ne!(self.role.as_ref().unwrap().rules, before.rules, "written without need");
            self.writes += 1;
        }
    }

    /// The role against what the proxy decides for itself.
    fn check(&self) {
        let trust = decide::decide(
            self.providers.values(),
            self.sources.values(),
            self.cluster_sources.values(),
        );
        let Some(role) = &self.role else { return };
        let users: BTreeSet<_> = trust.trusted().flat_map(|trusted| trusted.users()).collect();
        let groups: BTreeSet<_> = trust.trusted().flat_map(|trusted| trusted.groups()).collect();
        assert_eq!(listed(role, "users"), users.into_iter().collect::<Vec<_>>());
        assert_eq!(listed(role, "groups"), groups.into_iter().collect::<Vec<_>>());
        for rule in role.rules.iter().flatten() {
            // An empty list of names would be all of them.
            assert!(rule.verbs == ["impersonate"] && !rule.resource_names.as_ref().unwrap().is_empty());
        }
    }
}

const NAMESPACES: [&str; 3] = ["a", "b", names::INSTALL_NAMESPACE];

fn key() -> impl Strategy<Value = Key> {
    let name = select(vec!["one", "two"]);
    (select(NAMESPACES.to_vec()), name).prop_map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
}

fn name() -> impl Strategy<Value = String> {
    select(vec!["one".to_owned(), "two".to_owned()])
}

/// Also users who are nobody's.
fn user() -> impl Strategy<Value = String> {
    let prefix = select(vec!["x/", "x/y/", "z:", "other/", ""]);
    let rest = select(vec![
        "ns/default/id/web",
        "ns/default/id/db",
        "ns/../id/web",
        "system:admin",
        "*",
        "",
    ]);
    (prefix, rest).prop_map(|(prefix, rest)| format!("{prefix}{rest}"))
}

fn step() -> impl Strategy<Value = Step> {
    // The last ones make no sense.
    let prefix = select(vec!["x/", "x/y/", "z:", "x", "system:", "*/"]);
    prop_oneof![
        4 => (key(), prefix, any::<bool>()).prop_map(|(key, prefix, listed)| Step::Provider { key, prefix, listed }),
        2 => key().prop_map(Step::NoProvider),
        4 => (key(), user()).prop_map(|(key, user)| Step::Source { key, user }),
        2 => key().prop_map(Step::NoSource),
        2 => (name(), user()).prop_map(|(name, user)| Step::ClusterSource { name, user }),
        1 => name().prop_map(Step::NoClusterSource),
        1 => select(vec!["system:admin", "x/ns/default/id/web"]).prop_map(Step::Edit),
        1 => Just(Step::NoRole),
        2 => Just(Step::Role),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn the_role_lists_whom_the_proxy_lets_in(steps in prop::collection::vec(step(), 0..40)) {
        let mut cluster = Cluster::new();
        for step in steps {
            cluster.step(step);
            cluster.check();
        }
        let writes = cluster.writes;
        cluster.step(Step::Restart);
        prop_assert_eq!(cluster.writes, writes, "nothing has changed");
    }

    /// An answer to a write may come before the events of earlier ones.
    #[test]
    fn old_news_of_the_role_are_no_news(users in prop::collection::vec(user(), 1..8)) {
        let mut cluster = Cluster::new();
        cluster.step(Step::Provider { key: ("a".into(), "one".into()), prefix: "x/", listed: false });
        let mut seen = vec![];
        for user in users {
            cluster.step(Step::Source { key: ("a".into(), "one".into()), user });
            seen.extend(cluster.role.clone());
        }
        let writes = cluster.writes;
        for role in seen {
            cluster.index.take(News::Role(Change::Put(role)));
            cluster.keep();
        }
        prop_assert_eq!(cluster.writes, writes);
        cluster.check();
    }
}
