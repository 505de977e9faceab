//! The ServiceExports of the source, with what is known of their Services. Fed by events, answers at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::ApiResource;
use multicluster_api::view::{ServiceExportSpecView, ServiceExportView};
use parking_lot::RwLock;

use super::clusters::ClusterName;
use super::conditions::Progress;
use super::exportable::{Exportable, Unexportable};
use crate::changes::{Key, key_of};

/// A ServiceExport.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// UID.
    pub uid: String,
    /// Generation, which its conditions name.
    pub generation: i64,
    /// What goes along.
    pub spec: ServiceExportSpecView,
    /// What it says of itself.
    pub conditions: Vec<Condition>,
    /// The version of the Service that was known when it was read.
    pub version: Option<Arc<str>>,
    /// The Service of its name; `None` until it has been read.
    pub service: Option<Result<Arc<Exportable>, Unexportable>>,
    /// How far the clusters are.
    pub progress: BTreeMap<ClusterName, Progress>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Exports(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: HashMap<Key, Export>,
    listed: bool,
}

impl Exports {
    /// Take in an export as it is now. Returns whether its imports may change by that.
    pub fn put(&self, object: ServiceExportView) -> bool {
        let key = key_of(&object);
        let new = Export {
            uid: object.uid().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            // One that is about to go is gone.
            ..Export::default()
        };
        let mut inner = self.0.write();
        if object.metadata.deletion_timestamp.is_some() {
            return inner.all.remove(&key).is_some();
        }
        let export = inner.all.entry(key).or_default();
        let news = (&export.uid, &export.spec) != (&new.uid, &object.spec);
        if export.uid != new.uid {
            *export = new.clone();
        }
        export.generation = new.generation;
        export.spec = object.spec;
        export.conditions = object.status.conditions;
        news
    }

    /// An export is gone.
    pub fn remove(&self, key: &Key) -> bool {
        self.0.write().all.remove(key).is_some()
    }

    /// All that exist are known; or there are none, since nobody has defined what they are.
    pub fn set_listed(&self) {
        self.0.write().listed = true;
    }

    /// Are all that exist known?
    pub fn is_listed(&self) -> bool {
        self.0.read().listed
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.read().all.is_empty()
    }

    /// The export of this Service.
    pub fn get(&self, key: &Key) -> Option<Export> {
        self.0.read().all.get(key).cloned()
    }

    /// Is this Service exported?
    pub fn contains(&self, key: &Key) -> bool {
        self.0.read().all.contains_key(key)
    }

    /// Keys of all of them.
    pub fn keys(&self) -> Vec<Key> {
        self.0.read().all.keys().cloned().collect()
    }

    /// The exported Service was read, when this version of it was known. Returns whether that is news.
    pub fn set_service(&self, key: &Key, service: Result<Exportable, Unexportable>, version: Option<Arc<str>>) -> bool {
        let mut inner = self.0.write();
        let Some(export) = inner.all.get_mut(key) else {
            return false;
        };
        let service = Some(service.map(Arc::new));
        let news = export.service != service;
        (export.service, export.version) = (service, version);
        news
    }

    /// How far a cluster is; `None` when it is no part of the set any more. Returns whether that is news.
    pub fn set_progress(&self, key: &Key, cluster: &ClusterName, progress: Option<Progress>) -> bool {
        let mut inner = self.0.write();
        let Some(export) = inner.all.get_mut(key) else {
            return false;
        };
        let before = match &progress {
            Some(progress) => export.progress.insert(cluster.clone(), progress.clone()),
            None => export.progress.remove(cluster),
        };
        before != progress
    }

    /// Forget how far clusters are that are none of these.
    pub fn retain_clusters(&self, is_known: impl Fn(&ClusterName) -> bool) {
        for export in self.0.write().all.values_mut() {
            export.progress.retain(|cluster, _| is_known(cluster));
        }
    }
}

/// For events about an export.
pub fn reference(key: &Key, uid: &str) -> ObjectReference {
    let resource = ApiResource::erase::<ServiceExportView>(&());
    ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        namespace: Some(key.0.clone()),
        name: Some(key.1.clone()),
        uid: Some(uid.to_owned()),
        ..Default::default()
    }
}
