//! EndpointSlices with the external addresses of an application, one for each cluster and type of address: a stable
//! interface for load balancers beyond DNS. docs/exposure.md promises what is in them.
//!
//! They have no label `kubernetes.io/service-name`, and the label that tells kube-proxy to look away: nothing in the
//! cluster takes them for the endpoints of a Service.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::ApiResource;
use multicluster_api::names;
use multicluster_api::virtual_node::short_hash;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::owned;
use super::preference;
use super::site::Exposed;

/// Label that kube-proxy's own watch excludes.
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Addresses that one endpoint may have.
const MOST: usize = 100;
const HASH_DIGITS: usize = 10;

/// Where the API server has them.
pub fn resource() -> ApiResource {
    ApiResource {
        group: "discovery.k8s.io".into(),
        version: "v1".into(),
        api_version: "discovery.k8s.io/v1".into(),
        kind: "EndpointSlice".into(),
        plural: "endpointslices".into(),
    }
}

/// The EndpointSlices of an object. Clusters that have an address but do not serve are in them, not ready and with the
/// weight 0.
pub fn objects(exposed: &Exposed, clusters: &[Cluster], factors: &BTreeMap<String, u32>) -> Vec<Value> {
    let serving = clusters.iter().filter(|cluster| cluster.serves());
    let weights: BTreeMap<_, _> = preference::weighted(serving, factors, &exposed.key.namespace)
        .into_iter()
        .map(|(cluster, weight)| (cluster.node(), weight))
        .collect();
    let of = |cluster: &Cluster| {
        let weight = weights.get(cluster.node()).copied().unwrap_or_default();
        let v4 = cluster.ipv4.iter().map(ToString::to_string).collect::<Vec<_>>();
        let v6 = cluster.ipv6.iter().map(ToString::to_string).collect();
        // A name of one part is none that an EndpointSlice takes.
        let names = cluster
            .names
            .iter()
            .map(ToString::to_string)
            .filter(|name| name.contains('.'))
            .collect();
        [("IPv4", v4), ("IPv6", v6), ("FQDN", names)]
            .into_iter()
            .filter(|(_, addresses)| !addresses.is_empty())
            .map(|(kind, addresses)| slice(exposed, cluster, weight, kind, addresses))
            .collect::<Vec<_>>()
    };
    clusters.iter().flat_map(of).collect()
}

fn slice(exposed: &Exposed, cluster: &Cluster, weight: u32, kind: &str, mut addresses: Vec<String>) -> Value {
    addresses.truncate(MOST);
    let resource = resource();
    // The type of an EndpointSlice's addresses cannot be changed.
    let id = short_hash(&format!("{}/{kind}", cluster.node()), HASH_DIGITS);
    let name = owned::name(&[&id, owned::word(exposed.key.kind), &exposed.key.name]);
    let mut metadata = owned::metadata(exposed, &name);
    metadata["labels"][names::SLICE_MANAGED_BY] = names::MANAGED_BY_AGENT.into();
    metadata["labels"][PROXY_NAME] = names::MANAGED_BY_AGENT.into();
    metadata["labels"][names::CLUSTER] = owned::label(cluster.node()).into();
    metadata["annotations"][names::CLUSTER] = cluster.node().into();
    metadata["annotations"][names::WEIGHT] = weight.to_string().into();
    metadata["annotations"][names::REGION] = cluster.region.as_deref().unwrap_or_default().into();
    let ready = cluster.serves();
    json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        "addressType": kind,
        "endpoints": [{ "addresses": addresses, "conditions": { "ready": ready, "serving": ready, "terminating": false } }],
        "ports": ports(exposed),
    })
}

/// Ports have names that differ.
fn ports(exposed: &Exposed) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let named = exposed
        .ports
        .iter()
        .map(|(name, port)| (name.as_deref().unwrap_or_default(), *port));
    let several = exposed.ports.len() > 1;
    named
        .map(|(name, port)| {
            (
                if name.is_empty() && several {
                    format!("port-{port}")
                } else {
                    name.to_owned()
                },
                port,
            )
        })
        .filter(|(name, _)| seen.insert(name.clone()))
        .map(|(name, port)| json!({ "name": name, "port": port, "protocol": "TCP" }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::exposure::cluster::tests::site;
    use crate::source::exposure::policy::tests::exposed;
    use crate::source::exposure::site::Site;
    use crate::source::following::object::Kind;

    fn slices(sites: &[Site]) -> Vec<Value> {
        objects(
            &exposed(Kind::Ingress, &[], &[]),
            &Cluster::all(sites),
            &BTreeMap::new(),
        )
    }

    #[test]
    fn a_cluster_has_a_slice_for_each_type_of_address() {
        let us = Site {
            region: Some("us-west-2".into()),
            ..site("us", &["192.0.2.1", "2001:db8::1", "lb.us"], 3)
        };
        let slices = slices(&[us]);
        let types: Vec<_> = slices
            .iter()
            .map(|slice| slice["addressType"].as_str().unwrap())
            .collect();
        assert_eq!(types, ["IPv4", "IPv6", "FQDN"]);
        let names: BTreeSet<_> = slices
            .iter()
            .map(|slice| slice["metadata"]["name"].to_string())
            .collect();
        assert_eq!(names.len(), 3);
        let (slice, annotations) = (&slices[0], &slices[0]["metadata"]["annotations"]);
        assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.1"]));
        assert_eq!(slice["endpoints"][0]["conditions"]["ready"], true);
        assert_eq!(slice["ports"], json!([{ "name": "", "port": 80, "protocol": "TCP" }]));
        assert_eq!(annotations[names::CLUSTER], "us");
        assert_eq!(annotations[names::WEIGHT], "3");
        assert_eq!(annotations[names::REGION], "us-west-2");
    }

    #[test]
    fn nothing_takes_them_for_the_endpoints_of_a_service() {
        let labels = slices(&[site("us", &["192.0.2.1"], 1)])[0]["metadata"]["labels"].clone();
        assert_eq!(labels.get("kubernetes.io/service-name"), None);
        assert!(labels.get(PROXY_NAME).is_some());
        assert_eq!(labels[names::EXPOSES], "ingress.web");
    }

    #[test]
    fn who_does_not_serve_is_shown_not_ready() {
        let sick = Site {
            healthy: false,
            ..site("sick", &["192.0.2.1"], 3)
        };
        for slice in slices(&[sick, site("empty", &["192.0.2.2"], 0)]) {
            assert_eq!(slice["endpoints"][0]["conditions"]["ready"], false);
            assert_eq!(slice["metadata"]["annotations"][names::WEIGHT], "0");
        }
    }

    #[test]
    fn ports_without_names_get_some_when_there_are_several() {
        let mut service = exposed(Kind::Service, &[], &[]);
        service.ports = vec![(None, 80), (Some("tls".into()), 443), (Some("tls".into()), 444)];
        let names: Vec<_> = ports(&service)
            .iter()
            .map(|port| port["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["port-80", "tls"]);
    }
}
