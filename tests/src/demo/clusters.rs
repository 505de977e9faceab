//! The three clusters of the demo.

use anyhow::Result;
use multicluster_api::TargetRef;

use crate::product::{Product, Role};
use crate::{ClusterOptions, NodePool, Testbed};

/// The cluster that people talk to.
pub const MANAGEMENT: &str = "management";
/// Oregon.
pub const US: &str = "us-west-2";
/// Paris.
pub const EU: &str = "eu-west-3";
/// The clusters that pods run in.
pub const WORKLOAD: [&str; 2] = [US, EU];
/// Nodes of each workload cluster.
pub const NODES: usize = 5;

/// Start the clusters and install the product in them. Nothing is connected yet.
pub async fn start(testbed: &Testbed) -> Result<Product> {
    let targets = [(US, "oregon"), (EU, "paris")].map(|(region, city)| {
        let pool = NodePool::new(city, NODES)
            .label("topology.kubernetes.io/region", region)
            .allocatable("cpu", "4")
            .allocatable("memory", "16Gi");
        ClusterOptions::new(region, [pool])
    });
    let source = ClusterOptions::new(MANAGEMENT, []);
    Product::start(testbed, source, Role::Source, targets.into()).await
}

/// The virtual node of a workload cluster.
pub fn virtual_node(cluster: &str) -> String {
    TargetRef::cluster(cluster).virtual_node().into()
}
