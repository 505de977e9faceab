//! Where the Service, the Ingress and the ConfigMap of the demo are, read from all clusters.

use std::collections::BTreeSet;

use anyhow::Result;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, ResourceExt};
use multicluster_api::names;
use serde_json::Value;

use super::clusters::{MANAGEMENT, WORKLOAD};
use super::placement::NAMESPACE;
use super::table::Table;
use crate::product::Product;

/// The name of all three.
pub const NAME: &str = "hello-world";
/// What stands where nothing is.
const NOTHING: &str = "-";

/// The three objects in all clusters.
pub struct Found {
    /// A row for each object: its kind, then the management cluster, then the workload clusters.
    rows: Vec<(String, Vec<Option<DynamicObject>>)>,
}

impl Found {
    /// Ask all clusters.
    pub async fn read(product: &Product) -> Result<Self> {
        let kinds = [
            ApiResource::erase::<ConfigMap>(&()),
            ApiResource::erase::<Service>(&()),
            ApiResource::erase::<Ingress>(&()),
        ];
        let read = async |kind: ApiResource| -> Result<(String, Vec<Option<DynamicObject>>)> {
            let mut objects = Vec::new();
            for cluster in std::iter::once(MANAGEMENT).chain(WORKLOAD) {
                let seat = product.seats().find(|seat| seat.cluster.name() == cluster);
                let objects_there = seat.map(|seat| Api::namespaced_with(seat.cluster.client(), NAMESPACE, &kind));
                objects.push(match objects_there {
                    Some(api) => api.get_opt(NAME).await?,
                    None => None,
                });
            }
            Ok((kind.kind, objects))
        };
        let rows = try_join_all(kinds.map(read)).await?;
        Ok(Self { rows })
    }

    /// A copy of each is in both workload clusters.
    pub fn has_followed(&self) -> bool {
        let copies = self.rows.iter().flat_map(|(_, objects)| &objects[1..]);
        copies.into_iter().all(|copy| copy.as_ref().is_some_and(is_copy))
    }

    /// The addresses that the Ingress in the management cluster shows.
    pub fn addresses(&self) -> Vec<String> {
        let ingress = self.rows.iter().find(|(kind, _)| kind == "Ingress");
        let object = ingress.and_then(|(_, objects)| objects[0].as_ref());
        object.map(addresses).unwrap_or_default()
    }

    /// What the copies of the ConfigMap say.
    pub fn greetings(&self) -> Vec<&str> {
        let config_maps = self.rows.iter().filter(|(kind, _)| kind == "ConfigMap");
        let copies = config_maps.flat_map(|(_, objects)| &objects[1..]).flatten();
        copies
            .filter_map(|copy| copy.data.pointer("/data/GREETING")?.as_str())
            .collect()
    }

    /// Each object, and what it is in each cluster.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["Object", MANAGEMENT].into_iter().chain(WORKLOAD));
        for (kind, objects) in &self.rows {
            let cells = objects
                .iter()
                .map(|object| object.as_ref().map_or(NOTHING.to_owned(), cell));
            table.row([format!("{kind} {NAME}")].into_iter().chain(cells));
        }
        table
    }
}

fn is_copy(object: &DynamicObject) -> bool {
    object.labels().contains_key(names::PARENT_CLUSTER_NAME)
}

fn cell(object: &DynamicObject) -> String {
    let mut text = if is_copy(object) { "copy" } else { "yours" }.to_owned();
    let addresses = addresses(object);
    if !addresses.is_empty() {
        text += &format!(", {}", addresses.join(" "));
    }
    text
}

/// The addresses of its load balancers.
fn addresses(object: &DynamicObject) -> Vec<String> {
    let list = object
        .data
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array);
    let addresses = list.into_iter().flatten().filter_map(|entry| entry["ip"].as_str());
    let sorted: BTreeSet<_> = addresses.map(str::to_owned).collect();
    sorted.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Option<DynamicObject> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn says_what_is_a_copy_and_what_it_shows() {
        let status = |ips: &[&str]| {
            let list: Vec<_> = ips.iter().map(|ip| json!({ "ip": ip })).collect();
            json!({ "loadBalancer": { "ingress": list } })
        };
        let labels = json!({ names::PARENT_CLUSTER_NAME: "management" });
        let of =
            |labels: &Value, ips: &[&str]| object(json!({ "metadata": { "labels": labels }, "status": status(ips) }));
        let mut found = Found {
            rows: vec![(
                "Ingress".to_owned(),
                vec![
                    of(&json!({}), &["198.51.100.1", "192.0.2.1"]),
                    of(&labels, &["192.0.2.1"]),
                    of(&labels, &[]),
                ],
            )],
        };
        assert_eq!(
            found.table().lines(false)[1],
            "Ingress hello-world   yours, 192.0.2.1 198.51.100.1   copy, 192.0.2.1   copy"
        );
        assert_eq!(found.addresses(), ["192.0.2.1", "198.51.100.1"]);
        assert!(found.has_followed());
        // Somebody else's of the same name.
        found.rows[0].1[2] = of(&json!({}), &[]);
        assert!(!found.has_followed());
    }
}
