//! Names, as a user's resolver sees them: what external-dns reads in a cluster, CoreDNS answers.
//!
//! ```text
//!            DNSEndpoints ─▶ external-dns ─▶ etcd ──────┐
//! cluster ─┬ DNSEndpoints ─▶ external-dns ─▶ Route53 ───┼─▶ CoreDNS ◀─ Resolver
//!          └ Ingresses, Services ─▶ external-dns ─▶ etcd┘
//! ```
//!
//! Each external-dns has a zone of its own, so none deletes what another one wrote. All are the real programs, but for
//! [`Route53`]: it plays a provider that knows set identifiers, weights and regions. External-dns's CoreDNS provider does not
//! know them: see [`Zone::Simple`].

mod external_dns;
mod route53;
mod server;

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, ensure};

pub use route53::{RecordSet, Route53};

use crate::resolver::Resolver;
use crate::{Cluster, Process, Testbed};

/// Who answers for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Route 53, which knows set identifiers: DNSEndpoints of all policies.
    Weighted,
    /// CoreDNS with etcd: DNSEndpoints of one record for each name. (external-dns v0.21's provider for it does not store
    /// set identifiers, and leaves old records behind when there are several for one name.)
    Simple,
    /// The same, from the status of Ingresses, Gateways' routes and Services, without our DNSEndpoints.
    Status,
    /// Where the load balancers of clouds have their names.
    LoadBalancers,
}

impl Zone {
    /// The zone's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weighted => "weighted.example",
            Self::Simple => "simple.example",
            Self::Status => "status.example",
            Self::LoadBalancers => "lb.example",
        }
    }

    /// A name in this zone.
    pub fn host(self, name: &str) -> String {
        format!("{name}.{}", self.name())
    }
}

/// A DNS server and what feeds it. Dropped, all its processes end.
pub struct Dns {
    /// Asks the server.
    pub resolver: Resolver,
    /// What plays Route 53.
    pub route53: Route53,
    processes: Vec<Process>,
}

impl Dns {
    /// Starts all of it for a source cluster, in which external-dns's and the Gateway API's definitions are, and waits until
    /// it answers. `names` are those of load balancers, in [`Zone::LoadBalancers`].
    pub async fn start(testbed: &Testbed, source: &Cluster, names: &BTreeMap<String, Vec<IpAddr>>) -> Result<Self> {
        Self::start_zones(testbed, source, &[Zone::Simple, Zone::Weighted, Zone::Status], names).await
    }

    /// [`Dns::start`], with an external-dns for these zones only; [`Zone::Status`] alone needs the Gateway API's definitions.
    pub async fn start_zones(
        testbed: &Testbed,
        source: &Cluster,
        zones: &[Zone],
        names: &BTreeMap<String, Vec<IpAddr>>,
    ) -> Result<Self> {
        let binaries = testbed.binaries().with_dns().await?;
        let route53 = Route53::start().await?;
        let (mut processes, etcd) = (Vec::new(), server::Etcd::start(testbed)?);
        let (coredns, resolver) = server::start(testbed, &binaries, &etcd, &route53, names).await?;
        for zone in zones {
            processes.push(external_dns::start(testbed, &binaries, source, *zone, &etcd, &route53).await?);
        }
        processes.extend([coredns, etcd.process]);
        Ok(Self {
            resolver,
            route53,
            processes,
        })
    }

    /// An error if one of the processes has ended, or if records were written that Route 53 refuses.
    pub fn check(&self) -> Result<()> {
        self.processes.iter().try_for_each(Process::check)?;
        let refused = self.route53.refused();
        ensure!(refused.is_empty(), "Route 53 would refuse this: {refused:?}");
        Ok(())
    }
}
