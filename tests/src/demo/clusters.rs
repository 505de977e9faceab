//! The three clusters of the demo.

use anyhow::Result;
use multicluster_api::TargetRef;

use super::outside::Outside;
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

/// Start the clusters with the product, load balancers and DNS. Nothing is connected yet.
pub async fn start(testbed: &Testbed) -> Result<(Product, Outside)> {
    let targets = [(US, "oregon"), (EU, "paris")].map(|(region, city)| {
        let pool = NodePool::new(city, NODES)
            .label("topology.kubernetes.io/region", region)
            .allocatable("cpu", "4")
            .allocatable("memory", "16Gi");
        ClusterOptions::new(region, [pool])
    });
    let mut source = ClusterOptions::new(MANAGEMENT, []);
    source.crds = testbed.binaries().with_dns().await?.dns_endpoint_crds()?;
    let product = Product::start(testbed, source, Role::Source, targets.into()).await?;
    let outside = Outside::start(testbed, &product).await?;
    Ok((product, outside))
}

/// The virtual node of a workload cluster.
pub fn virtual_node(cluster: &str) -> String {
    TargetRef::cluster(cluster).virtual_node().into()
}
