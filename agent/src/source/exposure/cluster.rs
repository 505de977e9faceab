//! The clusters that serve an application: sites put together where several targets lead to one cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::dns_name::DnsName;
use super::site::{Address, Site};

/// Longest identifier of a record in a set (Route 53).
const LONGEST_ID: usize = 128;
/// Hex digits that keep cut identifiers apart.
const HASH_DIGITS: usize = 10;

/// One cluster, and what it has for an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The virtual nodes that stand for it, in order; at least one.
    pub nodes: Vec<String>,
    /// Its region, if it is known.
    pub region: Option<String>,
    /// IPv4 addresses, in order.
    pub ipv4: Vec<Ipv4Addr>,
    /// IPv6 addresses, in order.
    pub ipv6: Vec<Ipv6Addr>,
    /// Names of load balancers, in order.
    pub names: Vec<DnsName>,
    /// Ready pods.
    pub ready: u32,
    /// It answers.
    pub healthy: bool,
    /// It is the source's own cluster.
    pub own: bool,
}

impl Cluster {
    /// The clusters of these sites, in order of their first virtual nodes.
    ///
    /// Addresses that nobody can reach from elsewhere (loopback, link-local, …) and names that are none are left out: they
    /// come from another cluster, and one bad value would make the API server refuse the good ones with it.
    pub fn all(sites: &[Site]) -> Vec<Self> {
        let mut by_cluster = BTreeMap::<&str, Vec<&Site>>::new();
        for site in sites {
            by_cluster.entry(&site.cluster).or_default().push(site);
        }
        let mut clusters: Vec<_> = by_cluster.into_values().map(|sites| Self::of(&sites)).collect();
        clusters.sort_by(|a, b| a.nodes.cmp(&b.nodes));
        clusters
    }

    /// The clusters that can be sent to: they answer, have ready pods, and a load balancer with an address.
    pub fn serving(sites: &[Site]) -> Vec<Self> {
        let mut clusters = Self::all(sites);
        clusters.retain(Self::serves);
        clusters
    }

    fn of(sites: &[&Site]) -> Self {
        let (mut ipv4, mut ipv6, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for address in sites.iter().flat_map(|site| &site.addresses) {
            match address {
                Address::Ip(ip) => match ip.to_canonical() {
                    IpAddr::V4(ip) if is_reachable_v4(ip) => drop(ipv4.insert(ip)),
                    IpAddr::V6(ip) if is_reachable_v6(ip) => drop(ipv6.insert(ip)),
                    _ => {}
                },
                Address::Hostname(name) => names.extend(DnsName::parse(name).ok().filter(DnsName::is_plain)),
            }
        }
        let nodes: BTreeSet<_> = sites.iter().map(|site| site.node.clone()).collect();
        Self {
            nodes: nodes.into_iter().collect(),
            region: sites
                .iter()
                .find_map(|site| site.region.clone())
                .filter(|region| !region.is_empty()),
            ipv4: ipv4.into_iter().collect(),
            ipv6: ipv6.into_iter().collect(),
            names: names.into_iter().collect(),
            ready: sites.iter().fold(0, |sum: u32, site| sum.saturating_add(site.ready)),
            healthy: sites.iter().any(|site| site.healthy),
            own: sites.iter().any(|site| site.own),
        }
    }

    /// The virtual node that stands for it; the first, where there are several.
    pub fn node(&self) -> &str {
        self.nodes.first().map_or("", String::as_str)
    }

    /// It answers, and has ready pods and an address.
    pub fn serves(&self) -> bool {
        self.healthy && self.ready > 0 && (self.has_ips() || !self.names.is_empty())
    }

    /// It has addresses, not only names.
    pub fn has_ips(&self) -> bool {
        !self.ipv4.is_empty() || !self.ipv6.is_empty()
    }

    /// What its records are called among those of one name: the same as long as the target exists.
    pub fn id(&self) -> String {
        identifier(self.node())
    }
}

/// A text as the identifier of a record in a set.
pub fn identifier(text: &str) -> String {
    if text.len() <= LONGEST_ID && text.is_ascii() {
        return text.to_owned();
    }
    let hash = multicluster_api::virtual_node::short_hash(text, HASH_DIGITS);
    let plain = |c: &char| c.is_ascii_graphic();
    let front: String = text.chars().filter(plain).take(LONGEST_ID - HASH_DIGITS - 1).collect();
    format!("{front}-{hash}")
}

fn is_reachable_v4(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast())
}

fn is_reachable_v6(ip: Ipv6Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A healthy site: virtual node and cluster of this name, addresses, ready pods.
    pub fn site(node: &str, addresses: &[&str], ready: u32) -> Site {
        let address = |text: &&str| match text.parse() {
            Ok(ip) => Address::Ip(ip),
            Err(_) => Address::Hostname((*text).to_owned()),
        };
        Site {
            node: node.into(),
            cluster: node.into(),
            addresses: addresses.iter().map(address).collect(),
            ready,
            healthy: true,
            region: None,
            own: false,
        }
    }

    fn nodes(sites: &[Site]) -> Vec<String> {
        Cluster::serving(sites).iter().map(Cluster::id).collect()
    }

    #[test]
    fn only_healthy_clusters_with_ready_pods_and_an_address_serve() {
        let sick = Site {
            healthy: false,
            ..site("sick", &["192.0.2.1"], 3)
        };
        let sites = [
            site("us", &["192.0.2.2"], 1),
            sick,
            site("empty", &["192.0.2.3"], 0),
            site("new", &[], 3),
            site("eu", &["lb.example.com"], 1),
        ];
        assert_eq!(nodes(&sites), ["eu", "us"]);
    }

    #[test]
    fn two_targets_that_lead_to_one_cluster_are_one() {
        let second = Site {
            cluster: "a".into(),
            ..site("b", &["192.0.2.1", "192.0.2.2"], 2)
        };
        let silent = Site {
            healthy: false,
            ..site("a", &["192.0.2.1"], 1)
        };
        let clusters = Cluster::all(&[second, silent]);
        assert_eq!(clusters.len(), 1);
        assert_eq!(
            (clusters[0].node(), clusters[0].ready, clusters[0].ipv4.len()),
            ("a", 3, 2)
        );
        assert!(clusters[0].healthy);
    }

    #[test]
    fn addresses_that_lead_nowhere_are_left_out() {
        let hostile = [
            "127.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "*.example.com",
            "bad name",
        ];
        assert_eq!(nodes(&[site("a", &hostile, 1)]), [""; 0]);
        let cluster = &Cluster::all(&[site("a", &["::ffff:192.0.2.1"], 1)])[0];
        assert_eq!(cluster.ipv4, ["192.0.2.1".parse::<Ipv4Addr>().unwrap()]);
    }

    #[test]
    fn long_identifiers_are_cut_and_stay_apart() {
        let long = "n".repeat(200);
        let (one, other) = (identifier(&format!("{long}1")), identifier(&format!("{long}2")));
        assert_eq!(one.len(), LONGEST_ID);
        assert_ne!(one, other);
    }

    proptest! {
        #[test]
        fn the_order_of_sites_does_not_matter(ready in proptest::collection::vec(0u32..3, 1..6), turn in 0usize..6) {
            let mut sites: Vec<_> = ready
                .iter()
                .enumerate()
                .map(|(i, ready)| Site { cluster: (i / 2).to_string(), ..site(&i.to_string(), &["192.0.2.1"], *ready) })
                .collect();
            let before = Cluster::all(&sites);
            let turn = turn % sites.len();
            sites.rotate_left(turn);
            prop_assert_eq!(Cluster::all(&sites), before);
        }
    }
}
