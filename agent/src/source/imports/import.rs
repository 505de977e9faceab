//! The objects of an import: what they look like.
//!
//! * The ServiceImport has the Service's name, and says under which addresses it is reached in this cluster.
//! * The derived Service has these addresses: the cluster gives them, as to any Service, and its kube-proxy serves them.
//! * The EndpointSlices belong to the derived Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use multicluster_api::names;
use multicluster_api::virtual_node::short_hash;
use serde_json::{Map, Value, json};

use super::clusters::{Cluster, ClusterName, Clusters};
use super::endpoints::{Endpoints, Family, Group};
use super::exportable::{Exportable, Port};
use super::slices::Slice;

/// What the names of derived Services begin with.
const DERIVED_PREFIX: &str = "derived-";
const NAME_DIGITS: usize = 10;
const GROUP_DIGITS: usize = 8;

/// The name of the Service that stands behind an import. Two sources that export to one cluster do not share it.
pub fn derived_name(source: &str, namespace: &str, name: &str) -> String {
    let hash = short_hash(&format!("{source}/{namespace}/{name}"), NAME_DIGITS);
    format!("{DERIVED_PREFIX}{hash}")
}

/// What the names of a group's slices begin with.
pub fn slice_prefix(derived: &str, group: &Group) -> String {
    let ports: Vec<_> = group
        .ports
        .iter()
        .map(|port| json!([port.name, port.protocol, port.port, port.app_protocol]))
        .collect();
    let what = json!([group.cluster.as_str(), group.family.as_str(), ports]);
    format!("{derived}-{}", short_hash(&what.to_string(), GROUP_DIGITS))
}

/// The group that a slice is of, from the slice's name.
pub fn prefix_of(slice: &str) -> &str {
    slice.rsplit_once('-').map_or(slice, |(prefix, _)| prefix)
}

/// Of all endpoints, those that pods of this cluster reach.
pub fn seen_from<'a>(
    here: &'a Cluster,
    clusters: &'a Clusters,
    endpoints: &'a Endpoints,
) -> impl Iterator<Item = (&'a Group, &'a BTreeMap<IpAddr, super::endpoints::Endpoint>)> {
    let reached: BTreeSet<_> = clusters
        .all()
        .filter(|cluster| here.reaches(cluster))
        .map(|cluster| &cluster.name)
        .collect();
    endpoints
        .iter()
        .filter(move |(group, _)| reached.contains(&group.cluster))
}

/// The spec of the derived Service.
pub fn derived_spec(service: &Exportable) -> Map<String, Value> {
    let ports: Vec<_> = service.ports.iter().map(port).collect();
    let mut spec = json!({ "type": "ClusterIP", "ports": ports });
    if service.headless {
        spec["clusterIP"] = "None".into();
    }
    if service.publish_not_ready {
        spec["publishNotReadyAddresses"] = true.into();
    }
    if service.dual_stack {
        // As far as the cluster has both: it need not be like the source.
        spec["ipFamilyPolicy"] = "PreferDualStack".into();
    }
    if !service.headless {
        affinity(service, &mut spec);
    }
    object(spec)
}

/// The spec of the ServiceImport. `addresses` are those of the derived Service in the same cluster.
pub fn import_spec(service: &Exportable, addresses: &[IpAddr]) -> Map<String, Value> {
    let type_ = if service.headless { "Headless" } else { "ClusterSetIP" };
    let ports: Vec<_> = service.ports.iter().map(port).collect();
    let mut spec = json!({ "type": type_, "ports": ports });
    if !service.headless {
        affinity(service, &mut spec);
        // The API knows no more than one of each family.
        let addresses: Vec<_> = addresses.iter().take(2).collect();
        if !addresses.is_empty() {
            let families: Vec<_> = addresses.iter().map(|address| Family::of(address).as_str()).collect();
            spec["ips"] = json!(addresses);
            spec["ipFamilies"] = json!(families);
        }
    }
    object(spec)
}

/// An EndpointSlice, but for its metadata.
pub fn slice_body(group: &Group, slice: &Slice) -> Map<String, Value> {
    let endpoints: Vec<_> = slice
        .iter()
        .map(|(address, endpoint)| {
            let mut body = json!({
                "addresses": [address],
                "conditions": {
                    "ready": endpoint.ready, "serving": endpoint.serving, "terminating": endpoint.terminating,
                },
            });
            if let Some(hostname) = &endpoint.hostname {
                body["hostname"] = hostname.as_str().into();
            }
            body
        })
        .collect();
    let ports: Vec<_> = group
        .ports
        .iter()
        .map(|port| {
            let mut body = json!({ "name": port.name, "protocol": port.protocol, "port": port.port });
            if let Some(protocol) = &port.app_protocol {
                body["appProtocol"] = protocol.as_str().into();
            }
            body
        })
        .collect();
    object(json!({ "addressType": group.family.as_str(), "endpoints": endpoints, "ports": ports }))
}

/// The labels by which an EndpointSlice is found.
pub fn slice_labels(service: &str, derived: &str, group: &Group) -> BTreeMap<String, String> {
    [
        (names::MCS_SERVICE_NAME, service),
        (names::MCS_SOURCE_CLUSTER, group.cluster.as_str()),
        (names::SLICE_SERVICE, derived),
        (names::SLICE_MANAGED_BY, names::MANAGED_BY_AGENT),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// The status of a ServiceImport, or nothing if it says the same already. `held` is what it says.
pub fn import_status(
    service: &Exportable,
    addresses: &[IpAddr],
    groups: &BTreeSet<&Group>,
    held: &Value,
    now: Timestamp,
) -> Option<Value> {
    let clusters: BTreeSet<_> = groups.iter().map(|group| &group.cluster).collect();
    let clusters: Vec<_> = clusters.into_iter().map(ClusterName::as_str).collect();
    let (is_ready, reason, message) = readiness(service, addresses, groups);
    let status = if is_ready { "True" } else { "False" };
    let known: Option<Condition> = held["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready")
        .and_then(|condition| serde_json::from_value(condition.clone()).ok());
    let same_status = known.as_ref().filter(|known| known.status == status);
    let condition = Condition {
        type_: "Ready".into(),
        status: status.into(),
        reason: reason.into(),
        message,
        last_transition_time: same_status.map_or(Time(now), |known| known.last_transition_time.clone()),
        observed_generation: None,
    };
    let listed: BTreeSet<_> = held["clusters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|cluster| cluster["cluster"].as_str())
        .collect();
    // Fields that an older definition does not know are dropped by the API server: they are not compared.
    let same = known.as_ref() == Some(&condition) && listed.into_iter().eq(clusters.iter().copied());
    let clusters: Vec<_> = clusters
        .into_iter()
        .map(|cluster| json!({ "cluster": cluster }))
        .collect();
    (!same).then(|| json!({ "clusters": clusters, "conditions": [condition], "endpointSliceObjects": "Present" }))
}

fn readiness(service: &Exportable, addresses: &[IpAddr], groups: &BTreeSet<&Group>) -> (bool, &'static str, String) {
    if service.headless {
        return (true, "Ready", String::new());
    }
    if addresses.is_empty() {
        let message = "the derived Service has no address yet";
        return (false, "Pending", message.into());
    }
    let has = |family| addresses.iter().any(|address| Family::of(address) == family);
    let families: BTreeSet<_> = groups.iter().map(|group| group.family).collect();
    if !families.is_empty() && !families.iter().any(|family| has(*family)) {
        let families: Vec<_> = families.into_iter().map(Family::as_str).collect();
        let message = format!(
            "this cluster gives no {} addresses, and the pods have no others",
            families.join(" or ")
        );
        return (false, "IPFamilyNotSupported", message);
    }
    (true, "Ready", String::new())
}

fn affinity(service: &Exportable, spec: &mut Value) {
    if let Some(affinity) = &service.session_affinity {
        spec["sessionAffinity"] = affinity.as_str().into();
        if let Some(seconds) = service.affinity_seconds {
            spec["sessionAffinityConfig"] = json!({ "clientIP": { "timeoutSeconds": seconds } });
        }
    }
}

fn port(port: &Port) -> Value {
    let mut body = json!({ "port": port.port, "protocol": port.protocol });
    if !port.name.is_empty() {
        body["name"] = port.name.as_str().into();
    }
    if let Some(protocol) = &port.app_protocol {
        body["appProtocol"] = protocol.as_str().into();
    }
    body
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
