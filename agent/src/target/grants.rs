//! Grants a Source's or ClusterSource's identity what it needs to send pods here, and takes it back.
//!
//! The agent does not hold these permissions itself: its own role lets it `bind` two ClusterRoles and no other.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::select;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::{ClusterSource, Source};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::any_source::{AnySource, Identity};
use crate::api_error;
use crate::changes::{Change, Key, changes};
use crate::events::Events;

/// ClusterRole: what a source does in a namespace.
pub const SOURCE_ROLE: &str = "multicluster-source";
/// ClusterRole: reading the summaries.
pub const SUMMARY_ROLE: &str = "multicluster-summary-viewer";
/// What the names of the bindings begin with.
pub const BINDING_PREFIX: &str = "multicluster-source-";
/// Label of the bindings that this module makes.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "multicluster-agent");
/// Pause before an error is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Follow Sources and ClusterSources until `stop`.
pub async fn run(client: Client, events: Events, stop: CancellationToken) {
    let grants = Grants {
        client: client.clone(),
        events,
    };
    tokio::select! { () = grants.follow() => {}, () = stop.cancelled() => {} }
}

struct Grants {
    client: Client,
    events: Events,
}

impl Grants {
    async fn follow(&self) {
        let sources = changes(
            "sources".into(),
            Api::<Source>::all(self.client.clone()),
            Config::default(),
        )
        .map(any);
        let cluster = changes(
            "clustersources".into(),
            Api::<ClusterSource>::all(self.client.clone()),
            Config::default(),
        )
        .map(any);
        let mut changes = std::pin::pin!(select(sources, cluster));
        let mut sources: BTreeMap<Key, AnySource> = BTreeMap::new();
        let mut lists_missing = 2;
        let mut retry = tokio::time::interval(RETRY);
        let mut failed: BTreeMap<Key, AnySource> = BTreeMap::new();
        let mut sweep = false;
        loop {
            tokio::select! {
                Some(change) = changes.next() => match change {
                    Change::Put(source) => {
                        let before = sources.insert(source.key(), source.clone());
                        let unchanged = before.is_some_and(|b| (b.generation, &b.owner) == (source.generation, &source.owner));
                        if !unchanged && self.grant(&source).await.is_err() {
                            failed.insert(source.key(), source);
                        }
                    }
                    Change::Gone(key) => {
                        failed.remove(&key);
                        sources.remove(&key);
                        sweep = true;
                    }
                    Change::Listed => {
                        lists_missing = i32::max(0, lists_missing - 1);
                        sweep = true;
                    }
                },
                _ = retry.tick() => {
                    for (key, source) in std::mem::take(&mut failed) {
                        if self.grant(&source).await.is_err() {
                            failed.insert(key, source);
                        }
                    }
                }
            }
            if sweep && lists_missing == 0 {
                sweep = self
                    .sweep(&sources)
                    .await
                    .inspect_err(|e| tracing::warn!(%e, "sweeping grants"))
                    .is_err();
            }
        }
    }

    async fn grant(&self, source: &AnySource) -> Result<(), kube::Error> {
        let identity = match &source.identity {
            Ok(identity) => identity,
            Err(message) => return self.report(source, false, "InvalidSpec", message).await,
        };
        match self.grant_identity(source, identity).await {
            Ok(()) => self.report(source, true, "Granted", "the identity may send pods").await,
            Err(error) => {
                tracing::warn!(source = source.name, namespace = source.namespace, %error, "granting");
                self.report(source, false, "GrantFailed", &error.to_string()).await?;
                Err(error)
            }
        }
    }

    async fn grant_identity(&self, source: &AnySource, identity: &Identity) -> Result<(), kube::Error> {
        if let Identity::ServiceAccount { namespace, name } = identity {
            self.ensure_service_account(namespace, name).await?;
        }
        let name = source.binding_name();
        let subject = source.subject(identity);
        if source.namespace.is_empty() {
            self.bind_cluster(source, &name, SOURCE_ROLE, &subject).await?;
        } else {
            self.bind_namespace(source, &name, &subject).await?;
        }
        self.bind_cluster(source, &format!("{name}-summaries"), SUMMARY_ROLE, &subject)
            .await
    }

    async fn ensure_service_account(&self, namespace: &str, name: &str) -> Result<(), kube::Error> {
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        if api.get_opt(name).await?.is_some() {
            return Ok(());
        }
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(name.into()),
                labels: Some(managed()),
                ..Default::default()
            },
            ..Default::default()
        };
        match api.create(&PostParams::default(), &account).await {
            Err(error) if !api_error::is_already_exists(&error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn bind_namespace(&self, source: &AnySource, name: &str, subject: &Subject) -> Result<(), kube::Error> {
        let wanted = RoleBinding {
            metadata: binding_meta(source, name),
            role_ref: role_ref(SOURCE_ROLE),
            subjects: Some(vec![subject.clone()]),
        };
        let api = Api::<RoleBinding>::namespaced(self.client.clone(), &source.namespace);
        ensure(api, wanted, |binding| &binding.subjects).await
    }

    async fn bind_cluster(
        &self,
        source: &AnySource,
        name: &str,
        role: &str,
        subject: &Subject,
    ) -> Result<(), kube::Error> {
        let wanted = ClusterRoleBinding {
            metadata: binding_meta(source, name),
            role_ref: role_ref(role),
            subjects: Some(vec![subject.clone()]),
        };
        let api = Api::<ClusterRoleBinding>::all(self.client.clone());
        ensure(api, wanted, |binding| &binding.subjects).await
    }

    /// Remove the bindings of sources that are gone, also of those that went while no agent was running. The garbage
    /// collector cannot: a cluster-scoped binding has no namespaced owner. Losing access must not take its time anyway.
    async fn sweep(&self, sources: &BTreeMap<Key, AnySource>) -> Result<(), kube::Error> {
        let wanted: Vec<String> = sources
            .values()
            .flat_map(|source| [source.binding_name(), format!("{}-summaries", source.binding_name())])
            .collect();
        let ours = ListParams::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        let all = Api::<ClusterRoleBinding>::all(self.client.clone());
        for binding in all.list(&ours).await? {
            if !wanted.contains(&binding.name_any()) {
                api_error::ignore_gone(all.delete(&binding.name_any(), &DeleteParams::default()).await)?;
            }
        }
        for binding in Api::<RoleBinding>::all(self.client.clone()).list(&ours).await? {
            if !wanted.contains(&binding.name_any()) {
                let namespace = binding.namespace().unwrap_or_default();
                let api = Api::<RoleBinding>::namespaced(self.client.clone(), &namespace);
                api_error::ignore_gone(api.delete(&binding.name_any(), &DeleteParams::default()).await)?;
            }
        }
        Ok(())
    }

    async fn report(&self, source: &AnySource, ready: bool, reason: &str, message: &str) -> Result<(), kube::Error> {
        let status = if ready { "True" } else { "False" };
        let old = source
            .status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "Ready");
        let same = old.is_some_and(|old| (old.status.as_str(), old.reason.as_str()) == (status, reason));
        if same && source.status.observed_generation == Some(source.generation) {
            return Ok(());
        }
        let kept = old
            .filter(|old| old.status == status)
            .map(|old| old.last_transition_time.clone());
        let condition = Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            last_transition_time: kept.unwrap_or_else(|| Time(Timestamp::now())),
            observed_generation: Some(source.generation),
        };
        let patch = json!({ "status": { "conditions": [condition], "observedGeneration": source.generation } });
        let (patch, params) = (Patch::Merge(patch), PatchParams::default());
        if !ready {
            self.events
                .warning(source.reference(), "NotReady", "Grant", message.into());
        }
        api_error::ignore_gone(match source.namespace.as_str() {
            "" => {
                let api = Api::<ClusterSource>::all(self.client.clone());
                api.patch_status(&source.name, &params, &patch).await.map(drop)
            }
            namespace => {
                let api = Api::<Source>::namespaced(self.client.clone(), namespace);
                api.patch_status(&source.name, &params, &patch).await.map(drop)
            }
        })
    }
}

/// Make a binding, or make it anew when it says something else: its role cannot be changed.
async fn ensure<K>(api: Api<K>, wanted: K, subjects: fn(&K) -> &Option<Vec<Subject>>) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = wanted.name_any();
    match api.get_opt(&name).await? {
        Some(found)
            if subjects(&found) == subjects(&wanted) && found.owner_references() == wanted.owner_references() =>
        {
            return Ok(());
        }
        Some(_) => api_error::ignore_gone(api.delete(&name, &DeleteParams::default()).await)?,
        None => {}
    }
    api.create(&PostParams::default(), &wanted).await.map(drop)
}

fn any<K: Into<AnySource>>(change: Change<K>) -> Change<AnySource> {
    match change {
        Change::Put(source) => Change::Put(source.into()),
        Change::Gone(key) => Change::Gone(key),
        Change::Listed => Change::Listed,
    }
}

fn managed() -> BTreeMap<String, String> {
    [(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into()
}

fn binding_meta(source: &AnySource, name: &str) -> ObjectMeta {
    // A namespaced object cannot own a cluster-scoped one; the sweep removes those.
    let namespaced_binding = !name.ends_with("-summaries");
    let owned = source.namespace.is_empty() || namespaced_binding;
    ObjectMeta {
        name: Some(name.into()),
        labels: Some(managed()),
        owner_references: owned.then(|| vec![source.owner.clone()]),
        ..Default::default()
    }
}

fn role_ref(name: &str) -> RoleRef {
    RoleRef {
        api_group: Some("rbac.authorization.k8s.io".into()),
        kind: "ClusterRole".into(),
        name: name.into(),
    }
}
