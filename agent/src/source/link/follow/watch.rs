//! What is in the target of ours.

use std::fmt::Debug;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::names;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Link;
use crate::changes::{Change, Glimpse, glimpses};
use crate::source::following::copy::Context;
use crate::source::following::held::Held;
use crate::source::following::object::{Kind, ObjectKey};
use crate::source::following::watch::name;

impl Link {
    pub(super) async fn watch_copies(&self, client: &Client) {
        tokio::join!(
            Box::pin(self.watch_files::<ConfigMap>(client, Kind::ConfigMap)),
            Box::pin(self.watch_files::<Secret>(client, Kind::Secret)),
            Box::pin(self.watch_objects(client, Kind::Service)),
            Box::pin(self.watch_objects(client, Kind::Ingress)),
            Box::pin(self.watch_objects(client, Kind::HttpRoute)),
        );
    }

    /// Copies, and not what imports consist of.
    fn ours(&self) -> Config {
        let (source, import) = (names::PARENT_CLUSTER_NAME, names::IMPORT);
        Config::default().labels(&format!("{source}={},!{import}", self.home.cluster_name))
    }

    /// Of ConfigMaps and Secrets the metadata says all that counts.
    async fn watch_files<K>(&self, client: &Client, kind: Kind)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let api = match &self.follower.namespace {
            Some(namespace) => Api::<PartialObjectMeta<K>>::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let watched = (name(kind), self.node.as_str()).into();
        let mut seen = std::pin::pin!(glimpses(watched, api, self.ours()));
        while let Some(glimpse) = seen.next().await {
            self.take(kind, glimpse);
        }
    }

    async fn watch_objects(&self, client: &Client, kind: Kind) {
        let resource = kind.resource();
        let api = match &self.follower.namespace {
            Some(namespace) => Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let watched = (name(kind), self.node.as_str()).into();
        let mut seen = std::pin::pin!(glimpses(watched, api, self.ours()));
        while let Some(glimpse) = seen.next().await {
            self.take(kind, glimpse);
        }
    }

    fn take<K: ResourceExt + Serialize>(&self, kind: Kind, glimpse: Glimpse<K>) {
        match glimpse {
            Glimpse::Change(Change::Put(mut object)) => {
                object.managed_fields_mut().clear();
                let key = ObjectKey::new(kind, object.namespace().unwrap_or_default(), object.name_any());
                if let Ok(object) = serde_json::to_value(&object) {
                    self.put_copy(key, &object);
                }
            }
            Glimpse::Change(Change::Gone((namespace, name))) => self.gone_copy(ObjectKey::new(kind, namespace, name)),
            Glimpse::Change(Change::Listed) => {
                self.follower
                    .copies
                    .set_listed(kind)
                    .into_iter()
                    .for_each(|key| self.gone_copy(key));
                self.home.following.add_kind(&self.follower, kind);
                self.home.following.site_changed(&self.node);
            }
            Glimpse::Barred(bar) => {
                self.follower
                    .copies
                    .set_barred(kind, bar)
                    .into_iter()
                    .for_each(|key| self.gone_copy(key));
                self.home.following.add_kind(&self.follower, kind);
                self.home.following.site_changed(&self.node);
            }
        }
    }

    /// Take in an object as it is in the target.
    pub(super) fn put_copy(&self, key: ObjectKey, object: &Value) -> Held {
        let user = self.follower.facts().user;
        let context = Context {
            cluster_name: &self.home.cluster_name,
            source_user: user.as_deref(),
            selector: None,
        };
        let held = match key.kind {
            // What watches see of it.
            Kind::ConfigMap | Kind::Secret => {
                let metadata = serde_json::json!({ "metadata": object["metadata"] });
                Held::of(key.kind, &metadata, &context)
            }
            _ => Held::of(key.kind, object, &context),
        };
        if self.follower.copies.put(key.clone(), held.clone()) {
            self.home.following.copy_changed(&key);
            self.add_copy(key);
        }
        held
    }

    fn gone_copy(&self, key: ObjectKey) {
        self.follower.copies.remove(&key);
        self.home.following.copy_changed(&key);
        self.add_copy(key);
    }

    /// Other targets may lead to the same cluster, and see their own copies in these.
    fn add_copy(&self, key: ObjectKey) {
        for mate in self.home.following.followers.mates(&self.follower) {
            mate.add(key.clone());
        }
    }
}
