//! CoreDNS, and the etcd that it answers from.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Result;
use simple_dns::TYPE;

use super::{Route53, Zone};
use crate::resolver::Resolver;
use crate::{Binaries, Process, Testbed, components, eventually, free_port};

/// How long it may take to start, on a machine that is busy otherwise.
const START: Duration = Duration::from_secs(60);
/// Where records are in etcd: the default of CoreDNS and of external-dns.
const PREFIX: &str = "/skydns";

/// An etcd of its own, so that names live on while a cluster's etcd is away.
pub(super) struct Etcd {
    pub(super) process: Process,
    pub(super) url: String,
}

impl Etcd {
    pub(super) fn start(testbed: &Testbed) -> Result<Self> {
        let (client, peer) = (free_port()?, free_port()?);
        let args = components::etcd(client, peer, &testbed.dir().join("dns-etcd"));
        Ok(Self {
            process: testbed.spawn("dns-etcd", &testbed.binaries().find("etcd")?, args, [])?,
            url: format!("http://127.0.0.1:{client}"),
        })
    }
}

/// Starts CoreDNS and waits until it answers for all zones.
pub(super) async fn start(
    testbed: &Testbed,
    binaries: &Binaries,
    etcd: &Etcd,
    route53: &Route53,
    names: &BTreeMap<String, Vec<IpAddr>>,
) -> Result<(Process, Resolver)> {
    let port = free_port()?;
    let file = testbed.dir().join("Corefile");
    fs::write(&file, corefile(port, &etcd.url, route53, names)?)?;
    let args = [format!("-conf={}", file.display())];
    let process = testbed.spawn("coredns", &binaries.find("coredns")?, args, [])?;
    let resolver = Resolver::new((Ipv4Addr::LOCALHOST, port).into());
    let zones = [Zone::Weighted, Zone::Simple, Zone::Status].map(|zone| zone.host("nobody"));
    // The zone of load balancers knows no names but these.
    let asked: Vec<_> = zones.iter().chain(names.keys()).collect();
    eventually("CoreDNS to answer", START, async || {
        process.check()?;
        etcd.process.check()?;
        for name in &asked {
            resolver.ask(name, TYPE::A).await?;
        }
        Ok(Some(()))
    })
    .await?;
    Ok((process, resolver))
}

fn corefile(port: u16, etcd: &str, route53: &Route53, names: &BTreeMap<String, Vec<IpAddr>>) -> Result<String> {
    let mut hosts = String::new();
    for (name, addresses) in names {
        for address in addresses {
            writeln!(hosts, "    {address} {name}")?;
        }
    }
    let zone = |zone: Zone| format!("{}:{port}", zone.name());
    let (weighted, simple, status, balancers) = (
        zone(Zone::Weighted),
        zone(Zone::Simple),
        zone(Zone::Status),
        zone(Zone::LoadBalancers),
    );
    let server = route53.name_server();
    Ok(format!(
        "{simple} {status} {{\n  bind 127.0.0.1\n  errors\n  etcd {{\n    path {PREFIX}\n    endpoint {etcd}\n  }}\n}}\n\
         {weighted} {{\n  bind 127.0.0.1\n  errors\n  forward . {server} {{\n    max_fails 0\n  }}\n}}\n\
         {balancers} {{\n  bind 127.0.0.1\n  errors\n  hosts {{\n{hosts}  }}\n}}\n"
    ))
}
