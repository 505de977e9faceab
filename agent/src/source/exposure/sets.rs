//! Sets of records: several of one name and type, of which the DNS provider answers with one. Route 53 is what knows them.
//!
//! ```text
//! weighted           host ─▶ cluster, weight            (one record a cluster)
//! latency            host ─▶ region ─▶ all its clusters (one record a region: Route 53 takes no more)
//! latency-weighted   host ─▶ multicluster-REGION.host ─▶ cluster, weight
//! ```

use std::collections::BTreeMap;

use super::cluster::{Cluster, identifier};
use super::dns_name::DnsName;
use super::policy::Policy;
use super::preference;
use super::properties::{ALIAS, AWS_REGION, AWS_WEIGHT};
use super::records::{Endpoint, addresses, of_one_kind};

/// One record a cluster, with its weight.
pub fn weighted(policy: &Policy, name: &DnsName, clusters: &[Cluster], namespace: &str) -> Vec<Endpoint> {
    let weights = preference::weighted(clusters, &policy.factors, namespace);
    let of = |(cluster, weight): (&Cluster, u32)| {
        let endpoints = addresses(policy, name, std::slice::from_ref(cluster), cluster.id());
        let finish = move |endpoint: Endpoint| no_alias(endpoint.with(AWS_WEIGHT, weight.to_string()));
        endpoints.into_iter().map(finish)
    };
    weights.into_iter().flat_map(of).collect()
}

/// One record a region, with the addresses of all its clusters.
pub fn latency(
    policy: &Policy,
    name: &DnsName,
    clusters: &[Cluster],
    namespace: &str,
    notes: &mut Vec<String>,
) -> Vec<Endpoint> {
    let Some(regions) = regions(clusters, notes) else {
        return weighted(policy, name, clusters, namespace);
    };
    let mut endpoints = vec![];
    for (region, clusters) in regions {
        if clusters.len() > 1 && clusters.iter().all(|cluster| !cluster.has_ips()) {
            notes.push(format!(
                "only {} of {region} gets a record: load balancers have names, and a region has one; write the policy \
                 latency-weighted",
                clusters[0].node()
            ));
        }
        let of_region = addresses(policy, name, &clusters, identifier(&region));
        endpoints.extend(
            of_region
                .into_iter()
                .map(|endpoint| no_alias(endpoint.with(AWS_REGION, region.clone()))),
        );
    }
    endpoints
}

/// One alias a region, of a name that has one record a cluster, with its weight.
pub fn latency_weighted(
    policy: &Policy,
    name: &DnsName,
    clusters: &[Cluster],
    namespace: &str,
    notes: &mut Vec<String>,
) -> Vec<Endpoint> {
    let Some(regions) = regions(clusters, notes) else {
        return weighted(policy, name, &of_one_kind(policy, clusters, notes), namespace);
    };
    let mut endpoints = vec![];
    for (region, of_region) in regions {
        let of_region = of_one_kind(policy, &of_region, notes);
        let Some(regional) = name.in_region(&region) else {
            notes.push(format!(
                "{name} is too long for names of its regions: it gets the policy latency"
            ));
            return latency(policy, name, &of_one_kind(policy, clusters, notes), namespace, notes);
        };
        let alias = Endpoint {
            dns_name: name.to_string(),
            record_type: "CNAME",
            targets: vec![regional.to_string()],
            record_ttl: policy.ttl,
            set_identifier: identifier(&region),
            provider_specific: vec![],
        };
        // No alias record of Route 53's: it could be made only after what it points to.
        endpoints.push(no_alias(alias.with(AWS_REGION, region)));
        endpoints.extend(weighted(policy, &regional, &of_region, namespace));
    }
    endpoints
}

/// The clusters by region; `None` when no cluster has one, so that a name that is wanted near is at least to be had.
/// Otherwise clusters without a region have no place in the set.
fn regions(clusters: &[Cluster], notes: &mut Vec<String>) -> Option<BTreeMap<String, Vec<Cluster>>> {
    let mut regions = BTreeMap::<_, Vec<_>>::new();
    for cluster in clusters {
        match &cluster.region {
            Some(region) => regions.entry(region.clone()).or_default().push(cluster.clone()),
            None => notes.push(format!(
                "the region of {} is not known: give all nodes of that cluster the label topology.kubernetes.io/region; \
                 until then it gets a record only when no other cluster has a region, by weight",
                cluster.node()
            )),
        }
    }
    (!regions.is_empty()).then_some(regions)
}

/// Route 53's alias of a load balancer lives for the load balancer's 60 s, whatever TTL is asked for. A plain CNAME lives
/// as long as it says.
fn no_alias(endpoint: Endpoint) -> Endpoint {
    match endpoint.record_type {
        "CNAME" => endpoint.with(ALIAS, "false"),
        _ => endpoint,
    }
}
