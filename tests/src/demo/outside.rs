//! What lies between users and the clusters: load balancers, and DNS.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use simple_dns::TYPE;

use super::clusters::WORKLOAD;
use crate::Testbed;
use crate::dns::{Dns, Zone};
use crate::load_balancers::{Addresses, LoadBalancers};
use crate::product::Product;
use crate::resolver::Data;

/// The name of the demo's application: the host in docs/quick-tour/exposed.yaml.
pub const HOST: &str = "hello-world.simple.example";

/// Load balancers of the workload clusters, and a DNS server that answers what external-dns finds in the management cluster.
pub struct Outside {
    balancers: BTreeMap<&'static str, LoadBalancers>,
    dns: Dns,
}

impl Outside {
    /// Start all of it, for clusters in which the definition of DNSEndpoints is.
    pub async fn start(testbed: &Testbed, product: &Product) -> Result<Self> {
        let mut balancers = BTreeMap::new();
        for (number, cluster) in (0..).zip(WORKLOAD) {
            let addresses = Addresses::new(cluster, number);
            let own = LoadBalancers::start(&product.target(cluster)?.cluster, addresses);
            balancers.insert(cluster, own);
        }
        // Its load balancers have addresses, no names.
        let dns = Dns::start_zones(testbed, &product.source.cluster, &[Zone::Simple], &BTreeMap::new()).await?;
        Ok(Self { balancers, dns })
    }

    /// Where the DNS server listens.
    pub fn server(&self) -> SocketAddr {
        self.dns.resolver.server()
    }

    /// The command with which a user would ask.
    pub fn question(&self) -> String {
        question(self.server())
    }

    /// The addresses of the application now, as the DNS server answers, with the cluster of each.
    pub async fn answer(&self) -> Result<Vec<(IpAddr, &'static str)>> {
        self.dns.check()?;
        let records = self.dns.resolver.ask(HOST, TYPE::A).await?;
        let addresses: BTreeSet<_> = records
            .into_iter()
            .filter_map(|record| match record.data {
                Data::Address(address) => Some(address),
                Data::Name(_) => None,
            })
            .collect();
        let cluster = |address: IpAddr| {
            let found = self.balancers.iter().find(|(_, own)| own.addresses.has(address));
            let (cluster, _) =
                found.with_context(|| format!("{HOST} has the address {address}, which is no cluster's"))?;
            Ok((address, *cluster))
        };
        addresses.into_iter().map(cluster).collect()
    }
}

/// The command that asks a DNS server for the application.
pub fn question(server: SocketAddr) -> String {
    format!("dig +short @{} -p {} {HOST}", server.ip(), server.port())
}
