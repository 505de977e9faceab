//! How a virtual node says where its kubelet API is. Pure.
//!
//! The address is of type InternalIP alone: an API server tries a Hostname first (`--kubelet-preferred-address-types`), and no
//! DNS knows the name of a virtual node.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{DaemonEndpoint, Node, NodeAddress, NodeDaemonEndpoints};
use kube::ResourceExt;
use multicluster_api::names;
use multicluster_kubelet::paths::NodePath;
use serde_json::{Map, Value, json};

const INTERNAL_IP: &str = "InternalIP";

/// Where the kubelet API of all virtual nodes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The leader's address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

impl Endpoint {
    fn addresses(self) -> Vec<NodeAddress> {
        vec![NodeAddress {
            type_: INTERNAL_IP.into(),
            address: self.address.to_string(),
        }]
    }
}

/// Show it on a node that is to be made.
pub fn show(node: &mut Node, endpoint: Option<Endpoint>) {
    let Some(endpoint) = endpoint else { return };
    let path = NodePath::ResourceMetrics.of(&node.name_any());
    node.annotations_mut().insert(names::RESOURCE_METRICS_PATH.into(), path);
    let status = node.status.get_or_insert_default();
    status.addresses = Some(endpoint.addresses());
    status.daemon_endpoints = Some(NodeDaemonEndpoints {
        kubelet_endpoint: Some(DaemonEndpoint {
            port: endpoint.port.into(),
        }),
    });
}

/// The merge patch of the node's metadata, or `None` when it is as wanted.
pub fn metadata_patch(node: &Node, endpoint: Option<Endpoint>) -> Option<Value> {
    let wanted = endpoint.map(|_| NodePath::ResourceMetrics.of(&node.name_any()));
    let shown = node.annotations().get(names::RESOURCE_METRICS_PATH);
    (shown != wanted.as_ref())
        .then(|| json!({ "metadata": { "annotations": { names::RESOURCE_METRICS_PATH: wanted } } }))
}

/// The strategic merge patch of the node's status, or `None` when it is as wanted.
pub fn status_patch(node: &Node, endpoint: Option<Endpoint>) -> Option<Value> {
    let status = node.status.clone().unwrap_or_default();
    let mut patch = Map::new();
    let wanted = endpoint.map(Endpoint::addresses).unwrap_or_default();
    if status.addresses.unwrap_or_default() != wanted {
        // The list is merged by type, unless it says otherwise.
        let whole = wanted.iter().map(|address| json!(address));
        let whole: Vec<_> = whole.chain([json!({ "$patch": "replace" })]).collect();
        patch.insert("addresses".into(), json!(whole));
    }
    let wanted = endpoint.map_or(0, |endpoint| i32::from(endpoint.port));
    let shown = status.daemon_endpoints.and_then(|endpoints| endpoints.kubelet_endpoint);
    if shown.map_or(0, |shown| shown.port) != wanted {
        patch.insert(
            "daemonEndpoints".into(),
            json!({ "kubeletEndpoint": { "Port": wanted } }),
        );
    }
    (!patch.is_empty()).then(|| json!({ "status": patch }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Option<Endpoint> {
        Some(Endpoint {
            address: address.parse().unwrap(),
            port: 10250,
        })
    }

    fn node(endpoint: Option<Endpoint>) -> Node {
        let mut node = Node::default();
        node.metadata.name = Some("admiralty-eu".into());
        show(&mut node, endpoint);
        node
    }

    #[test]
    fn a_node_says_where_it_is_and_where_its_metrics_are() {
        let node = node(at("10.0.0.1"));
        let shown = json!(node);
        assert_eq!(
            shown["status"]["addresses"],
            json!([{ "type": "InternalIP", "address": "10.0.0.1" }])
        );
        assert_eq!(shown["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
        let path = "/nodes/admiralty-eu/metrics/resource";
        assert_eq!(node.annotations()[names::RESOURCE_METRICS_PATH], path);
        assert_eq!(
            (
                metadata_patch(&node, at("10.0.0.1")),
                status_patch(&node, at("10.0.0.1"))
            ),
            (None, None)
        );
    }

    #[test]
    fn another_leader_has_another_address_and_nothing_else() {
        let node = node(at("10.0.0.1"));
        assert_eq!(metadata_patch(&node, at("10.0.0.2")), None);
        let patch = status_patch(&node, at("10.0.0.2")).unwrap();
        let addresses = json!([{ "type": "InternalIP", "address": "10.0.0.2" }, { "$patch": "replace" }]);
        assert_eq!(patch, json!({ "status": { "addresses": addresses } }));
    }

    #[test]
    fn without_a_kubelet_api_the_node_names_none() {
        assert_eq!(
            (metadata_patch(&node(None), None), status_patch(&node(None), None)),
            (None, None)
        );
        let node = node(at("10.0.0.1"));
        let patch = status_patch(&node, None).unwrap();
        assert_eq!(patch["status"]["addresses"], json!([{ "$patch": "replace" }]));
        assert_eq!(patch["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 0);
        let annotations = metadata_patch(&node, None).unwrap()["metadata"]["annotations"].clone();
        assert!(annotations[names::RESOURCE_METRICS_PATH].is_null());
    }
}
