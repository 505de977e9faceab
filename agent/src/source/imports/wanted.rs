//! What is to be in one cluster for an exported Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use multicluster_api::{names, syntax};
use serde_json::{Map, Value};

use super::clusters::{Cluster, Clusters};
use super::endpoints::{Endpoints, Group};
use super::exportable::Exportable;
use super::exports::Export;
use super::import::{
    derived_name, derived_spec, import_spec, prefix_of, seen_from, slice_body, slice_labels, slice_prefix,
};
use super::slices::assign;
use super::there::Item;
use crate::changes::Key;
use crate::source::following::copy::{Context, Copy};
use crate::source::following::facts::Labels;
use crate::source::following::object::{Kind, ObjectKey};

/// Prefix of the keys that the Multi-Cluster Services API keeps for itself.
const MCS_PREFIX: &str = "multicluster.kubernetes.io/";

/// An exported Service.
#[derive(Clone, Copy, Debug)]
pub struct Exported<'a> {
    /// Its namespace and name.
    pub key: &'a Key,
    /// The export.
    pub export: &'a Export,
    /// The Service.
    pub service: &'a Exportable,
}

impl Exported<'_> {
    /// The Service behind the import.
    pub fn derived(&self, context: &Context<'_>) -> Copy {
        let name = derived_name(context.cluster_name, &self.key.0, &self.key.1);
        let body = [("spec".to_owned(), Value::Object(derived_spec(self.service)))];
        self.copy(
            Kind::Service,
            &name,
            Labels::new(),
            Labels::new(),
            body.into_iter().collect(),
            context,
        )
    }

    /// The ServiceImport. Nothing but labels and annotations that the API server accepts goes along: one bad value would
    /// cost the import.
    pub fn import(&self, cluster_ips: &[IpAddr], context: &Context<'_>) -> Copy {
        let body = [("spec".to_owned(), Value::Object(import_spec(self.service, cluster_ips)))];
        let spec = &self.export.spec;
        let free = |key: &str| !names::is_ours(key) && !key.starts_with(MCS_PREFIX);
        let is_label = |key: &str, value: &str| syntax::is_qualified_name(key) && syntax::is_label_value(value);
        let labels = spec.exported_labels.iter();
        let labels = labels.filter(|(key, value)| free(key) && is_label(key, value));
        let annotations = spec.exported_annotations.iter();
        let annotations = annotations.filter(|(key, _)| free(key) && syntax::is_annotation_key(key));
        let cloned = |(key, value): (&String, &String)| (key.clone(), value.clone());
        let (labels, annotations) = (labels.map(cloned).collect(), annotations.map(cloned).collect());
        let body = body.into_iter().collect();
        self.copy(Kind::ServiceImport, &self.key.1, labels, annotations, body, context)
    }

    /// The EndpointSlices. `items` are those that are there.
    pub fn slices(
        &self,
        here: &Cluster,
        clusters: &Clusters,
        endpoints: &Endpoints,
        items: &BTreeMap<ObjectKey, Item>,
        context: &Context<'_>,
    ) -> Vec<Copy> {
        let derived = derived_name(context.cluster_name, &self.key.0, &self.key.1);
        let mut held: BTreeMap<&str, BTreeMap<String, BTreeSet<IpAddr>>> = BTreeMap::new();
        // One that is on its way out takes nothing any more.
        let there = items
            .iter()
            .filter(|(key, item)| key.kind == Kind::EndpointSlice && !item.held.deleting);
        for (key, item) in there {
            let of_group = held.entry(prefix_of(&key.name)).or_default();
            of_group.insert(key.name.clone(), item.addresses.clone());
        }
        let mut copies = vec![];
        for (group, endpoints) in seen_from(here, clusters, endpoints) {
            let prefix = slice_prefix(&derived, group);
            let none = BTreeMap::new();
            let slices = assign(endpoints, held.get(prefix.as_str()).unwrap_or(&none), &prefix);
            copies.extend(slices.into_iter().map(|(name, slice)| {
                let labels = slice_labels(&self.key.1, &derived, group);
                let body = slice_body(group, &slice);
                self.copy(Kind::EndpointSlice, &name, labels, Labels::new(), body, context)
            }));
        }
        copies
    }

    fn copy(
        &self,
        kind: Kind,
        name: &str,
        mut labels: Labels,
        mut annotations: Labels,
        body: Map<String, Value>,
        context: &Context<'_>,
    ) -> Copy {
        labels.insert(names::PARENT_CLUSTER_NAME.into(), context.cluster_name.into());
        labels.insert(names::PARENT_UID.into(), self.export.uid.clone());
        labels.insert(names::IMPORT.into(), self.key.1.clone());
        if let Some(user) = context.source_user {
            annotations.insert(names::SOURCE_USER.into(), user.into());
        }
        Copy {
            key: ObjectKey::new(kind, &self.key.0, name),
            source_uid: self.export.uid.clone(),
            labels,
            annotations,
            body,
        }
    }
}

/// The groups that a cluster sees.
pub fn groups<'a>(here: &'a Cluster, clusters: &'a Clusters, endpoints: &'a Endpoints) -> BTreeSet<&'a Group> {
    seen_from(here, clusters, endpoints).map(|(group, _)| group).collect()
}
