//! Virtual nodes that an administrator has given up, as Kubernetes knows it for nodes (KEP-2268): not Ready, and with the
//! taint `node.kubernetes.io/out-of-service`.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use multicluster_api::names;
use parking_lot::RwLock;

/// Names of the virtual nodes that are out of service.
#[derive(Debug, Default)]
pub struct OutOfService(RwLock<HashSet<String>>);

impl OutOfService {
    /// Take in a node. Is it out of service, and was not before?
    pub fn put(&self, node: &Node) -> bool {
        match is_out_of_service(node) {
            true => self.0.write().insert(node.name_any()),
            false => {
                self.0.write().remove(&node.name_any());
                false
            }
        }
    }

    /// The node is gone.
    pub fn remove(&self, node: &str) {
        self.0.write().remove(node);
    }

    /// Is this node out of service?
    pub fn contains(&self, node: &str) -> bool {
        self.0.read().contains(node)
    }
}

fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.clone().any(|c| c.type_ == "Ready" && c.status == "True");
    !ready && taints.into_iter().any(|taint| taint.key == names::OUT_OF_SERVICE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_taint_counts_while_the_node_is_not_ready() {
        let all = OutOfService::default();
        for (taint, ready, expected) in [
            (names::OUT_OF_SERVICE, "False", true),
            (names::OUT_OF_SERVICE, "Unknown", true),
            (names::OUT_OF_SERVICE, "True", false),
            (names::UNREACHABLE, "False", false),
        ] {
            let node = json!({
                "metadata": {"name": "n"},
                "spec": {"taints": [{"key": taint, "value": "nodeshutdown", "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            });
            all.put(&serde_json::from_value(node).unwrap());
            assert_eq!(all.contains("n"), expected, "{taint} {ready}");
        }
    }
}
