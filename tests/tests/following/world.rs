//! The clusters that all tests share, with load balancers and DNS.
//!
//! | cluster | nodes | region |
//! |---|---|---|
//! | source | 1 `own` | |
//! | us | 4 `us` | us-west-2 |
//! | eu | 4 `eu` | eu-west-3 |

use std::collections::BTreeMap;
use std::ops::Deref;

use anyhow::Result;
use testbed::dns::Dns;
use testbed::load_balancers::{Addresses, LoadBalancers};
use testbed::product::{Product, Role, Scope};
use testbed::{Cluster, ClusterOptions, Link, NodePool, Testbed};

pub use super::clusters::{SOON, is_running, node_of};
use super::{clusters, fixtures};

/// The label with a target's region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The targets with their regions.
pub const REGIONS: [(&str, &str); 2] = [("us", "us-west-2"), ("eu", "eu-west-3")];

/// A test in this world.
pub type Test = super::harness::Test<World>;

/// The clusters that all tests share.
pub struct World {
    clusters: clusters::World,
    /// Load balancers of the targets.
    pub balancers: BTreeMap<String, LoadBalancers>,
    /// Names.
    pub dns: Dns,
}

impl World {
    /// Start the clusters and connect them for all namespaces.
    pub async fn start(testbed: Testbed) -> Result<Self> {
        let binaries = testbed.binaries().with_dns().await?;
        let (mut source, mut targets) = (ClusterOptions::new("source", [NodePool::new("own", 1)]), Vec::new());
        for (name, region) in REGIONS {
            targets.push(ClusterOptions::new(
                name,
                [NodePool::new(name, 4).label(REGION, region)],
            ));
        }
        for options in targets.iter_mut().chain([&mut source]) {
            options.crds.extend(binaries.gateway_crds()?);
            options.crds.extend(binaries.multi_cluster_services_crds()?);
        }
        source.crds.extend(binaries.dns_endpoint_crds()?);
        let product = Product::start(&testbed, source, Role::Source, targets).await?;
        let (mut links, mut balancers, mut names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (number, (name, _)) in (0..).zip(REGIONS) {
            let seat = product.target(name)?;
            let link = Link::to(&seat.cluster, 1).await?;
            product.connect_through(&link, name, Scope::Cluster).await?;
            links.insert(name.to_owned(), link);
            let own = LoadBalancers::start(&seat.cluster, Addresses::new(name, number));
            own.serve_gateways();
            names.extend(own.addresses.names());
            balancers.insert(name.to_owned(), own);
        }
        let dns = Dns::start(&testbed, &product.source.cluster, &names).await?;
        let clusters = clusters::World { product, links };
        Ok(Self {
            clusters,
            balancers,
            dns,
        })
    }

    /// Make a namespace of its own for a test.
    pub async fn namespace(&self, name: &'static str) -> Result<&'static str> {
        fixtures::namespace(self, name).await
    }

    /// The addresses of a target's load balancers.
    pub fn addresses(&self, target: &str) -> &Addresses {
        &self.balancers[target].addresses
    }

    /// A cluster by its name, the source too.
    pub fn cluster(&self, name: &str) -> &Cluster {
        match name {
            "source" => self.source(),
            target => self.target(target),
        }
    }
}

impl Deref for World {
    type Target = clusters::World;

    fn deref(&self) -> &Self::Target {
        &self.clusters
    }
}
