//! The DNS records of an application, as external-dns takes them.
//!
//! A cluster that does not serve has no record. When none serves, there is no record at all: an address that certainly does
//! not answer is worse than no answer, for clients that could go elsewhere.

use serde::Serialize;

use super::cluster::Cluster;
use super::dns_name::DnsName;
use super::policy::{Policy, Routing};
use super::preference::ordered;
use super::properties::ALIAS;
use super::sets;

/// Records of one object; more would make an object that etcd does not take.
const MOST: usize = 3000;

/// One record set: an element of a DNSEndpoint (externaldns.k8s.io/v1alpha1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its name.
    pub dns_name: String,
    /// `A`, `AAAA` or `CNAME`.
    pub record_type: &'static str,
    /// Addresses, or one name.
    pub targets: Vec<String>,
    /// Seconds that an answer may be kept.
    #[serde(rename = "recordTTL")]
    pub record_ttl: u32,
    /// What sets this one apart from others of its name and type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub set_identifier: String,
    /// What one DNS provider understands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub provider_specific: Vec<Property>,
}

/// What one DNS provider understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Property {
    /// Its name, as external-dns' providers know it.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The records of these hosts, and what a person should know about them.
///
/// `clusters` are those that serve, in order; `namespace` is the object's.
pub fn records<'a>(
    policy: &Policy,
    hosts: impl IntoIterator<Item = &'a DnsName>,
    clusters: &[Cluster],
    namespace: &str,
) -> (Vec<Endpoint>, Vec<String>) {
    let (mut endpoints, mut notes) = (vec![], vec![]);
    if policy.routing == Routing::None || clusters.is_empty() {
        return (endpoints, notes);
    }
    let clusters: Vec<_> = match policy.routing {
        Routing::Failover => {
            let first = ordered(clusters, &policy.order, namespace).into_iter().take(1);
            first.cloned().collect()
        }
        // Each region has a name of its own.
        Routing::LatencyWeighted => clusters.to_vec(),
        _ => of_one_kind(policy, clusters, &mut notes),
    };
    for host in hosts {
        let of_host = match policy.routing {
            Routing::None => vec![],
            Routing::Failover | Routing::Simple => together(policy, host, &clusters, &mut notes),
            Routing::Weighted => sets::weighted(policy, host, &clusters, namespace),
            Routing::Latency => sets::latency(policy, host, &clusters, namespace, &mut notes),
            Routing::LatencyWeighted => sets::latency_weighted(policy, host, &clusters, namespace, &mut notes),
        };
        if endpoints.len() + of_host.len() > MOST {
            notes.push(format!(
                "{host} and the names after it get no records: {MOST} are the most for one object"
            ));
            break;
        }
        endpoints.extend(of_host);
    }
    let mut told = std::collections::BTreeSet::new();
    notes.retain(|note| told.insert(note.clone()));
    (endpoints, notes)
}

/// A name is an alias of one other name, or it has addresses, but not both (RFC 1034, section 3.6.2). Addresses win: there
/// can be several of them. Only where aliases are records of another kind (Route 53's) do they go together.
pub fn of_one_kind(policy: &Policy, clusters: &[Cluster], notes: &mut Vec<String>) -> Vec<Cluster> {
    let aliases = policy.properties.get(ALIAS).is_some_and(|value| value == "true");
    let mut kept = clusters.to_vec();
    if clusters.iter().any(Cluster::has_ips) && (!aliases || policy.routing == Routing::Simple) {
        kept.retain(Cluster::has_ips);
    }
    for left_out in clusters.iter().filter(|cluster| !kept.contains(cluster)) {
        notes.push(format!(
            "{} gets no record: its load balancer has a name, those of others have addresses, and DNS does not let one name \
             have both; on Route 53, the property {ALIAS}=true allows it",
            left_out.node()
        ));
    }
    kept
}

/// All clusters in one record of each type.
fn together(policy: &Policy, host: &DnsName, clusters: &[Cluster], notes: &mut Vec<String>) -> Vec<Endpoint> {
    let endpoints = addresses(policy, host, clusters, String::new());
    let names = clusters.iter().filter(|cluster| !cluster.has_ips()).count();
    if names > 1 && endpoints.iter().any(|endpoint| endpoint.record_type == "CNAME") {
        notes.push(format!(
            "only {} gets a record: load balancers have names, and a name can be an alias of one other only; write another \
             policy if your DNS provider knows sets of records",
            clusters[0].node()
        ));
    }
    endpoints
}

/// Records with the addresses of these clusters, or, when they have none, the first one's name. Properties are the
/// user's; [`ALIAS`] is for aliases alone.
pub fn addresses(policy: &Policy, name: &DnsName, clusters: &[Cluster], set_identifier: String) -> Vec<Endpoint> {
    let texts = |ips: Vec<String>| {
        let unique: std::collections::BTreeSet<_> = ips.into_iter().collect();
        unique.into_iter().collect::<Vec<_>>()
    };
    let v4 = clusters
        .iter()
        .flat_map(|cluster| &cluster.ipv4)
        .map(ToString::to_string)
        .collect();
    let v6 = clusters
        .iter()
        .flat_map(|cluster| &cluster.ipv6)
        .map(ToString::to_string)
        .collect();
    let has_ips = clusters.iter().any(Cluster::has_ips);
    let alias = clusters
        .iter()
        .flat_map(|cluster| cluster.names.first())
        .take(usize::from(!has_ips));
    let alias = alias.map(ToString::to_string).collect();
    [("A", texts(v4)), ("AAAA", texts(v6)), ("CNAME", alias)]
        .into_iter()
        .filter(|(_, targets)| !targets.is_empty())
        .map(|(record_type, targets)| Endpoint {
            dns_name: name.to_string(),
            record_type,
            targets,
            record_ttl: policy.ttl,
            set_identifier: set_identifier.clone(),
            provider_specific: properties(policy, record_type == "CNAME"),
        })
        .collect()
}

fn properties(policy: &Policy, is_alias: bool) -> Vec<Property> {
    let all = policy.properties.iter().filter(|(name, _)| is_alias || *name != ALIAS);
    all.map(|(name, value)| Property {
        name: name.clone(),
        value: value.clone(),
    })
    .collect()
}

impl Endpoint {
    /// The same with one more property, unless it has one of this name.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        if !self.provider_specific.iter().any(|property| property.name == name) {
            let (name, value) = (name.to_owned(), value.into());
            self.provider_specific.push(Property { name, value });
        }
        self
    }
}

#[cfg(test)]
#[path = "tests/records.rs"]
mod tests;
