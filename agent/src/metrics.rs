//! What the agent counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A target, by its virtual node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetLabel {
    /// Name of the virtual node.
    pub node: String,
}

/// Counters and gauges of the agent.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Delegate pods made in this cluster.
    pub delegates_created: Counter,
    /// Statuses written to proxy pods.
    pub proxy_statuses: Counter,
    /// Chaperons deleted in targets.
    pub chaperons_deleted: Family<TargetLabel, Counter>,
    /// 1 while a target is well.
    pub target_ready: Family<TargetLabel, Gauge>,
    /// Changes of a virtual node's readiness.
    pub target_transitions: Family<TargetLabel, Counter>,
    /// 1 while most targets are silent, so that we suppose to be cut off ourselves.
    pub mass_failure: Gauge,
    /// Finalizers taken off proxy pods.
    pub finalizers_removed: Counter,
    /// 1 while this agent leads.
    pub leader: Gauge,
}

impl Metrics {
    /// Register all under the names that the documentation lists.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("multicluster_agent");
        registry.register(
            "delegates_created",
            "Delegate pods made in this cluster",
            self.delegates_created.clone(),
        );
        registry.register(
            "proxy_pod_statuses",
            "Statuses written to proxy pods",
            self.proxy_statuses.clone(),
        );
        registry.register(
            "chaperons_deleted",
            "PodChaperons deleted in targets",
            self.chaperons_deleted.clone(),
        );
        registry.register(
            "virtual_node_ready",
            "1 while a target is well",
            self.target_ready.clone(),
        );
        registry.register(
            "virtual_node_transitions",
            "Changes of a virtual node's Ready condition",
            self.target_transitions.clone(),
        );
        registry.register(
            "mass_failure",
            "1 while most targets are silent, and their pods are left alone for that",
            self.mass_failure.clone(),
        );
        registry.register(
            "finalizers_removed",
            "Finalizers taken off proxy pods",
            self.finalizers_removed.clone(),
        );
        registry.register(
            "leader",
            "1 while this agent works, 0 while it stands by",
            self.leader.clone(),
        );
    }
}
