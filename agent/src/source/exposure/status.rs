//! What the status of the source's Ingress, LoadBalancer Service or Gateway shows: the load balancers of all clusters that
//! serve. A plain external-dns, or whatever else reads statuses, then finds them.
//!
//! The status belongs to whoever writes it first: it is applied (server-side apply) without force under a field manager of
//! our own. When a controller of the source has written it, the API server says so, and it is left alone. The list of
//! addresses is atomic there, so it is ours or the other's as a whole.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cluster::Cluster;

/// Name under which statuses are applied.
pub const FIELD_MANAGER: &str = "multicluster-agent-exposure";
/// Addresses that a Gateway's status takes.
const MOST_OF_A_GATEWAY: usize = 16;

/// What kind of object has the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// networking.k8s.io/v1 Ingress.
    Ingress,
    /// v1 Service of type LoadBalancer.
    Service,
    /// gateway.networking.k8s.io/v1 Gateway.
    Gateway,
}

/// The status to apply; `None` when nothing should be ours: nobody serves, or the source's own cluster is among those
/// that serve, whose controller writes the status of the very same object.
pub fn status(shown: Shown, clusters: &[Cluster]) -> Option<Value> {
    if clusters.iter().any(|cluster| cluster.own) {
        return None;
    }
    let mut seen = BTreeSet::new();
    let of = |cluster: &Cluster| {
        let v4 = cluster.ipv4.iter().map(|ip| ("ip", ip.to_string()));
        let v6 = cluster.ipv6.iter().map(|ip| ("ip", ip.to_string()));
        let names = cluster.names.iter().map(|name| ("hostname", name.to_string()));
        v4.chain(v6).chain(names).collect::<Vec<_>>()
    };
    let serving = clusters.iter().filter(|cluster| cluster.serves());
    let addresses = serving.flat_map(of).filter(|address| seen.insert(address.clone()));
    let addresses: Vec<_> = match shown {
        Shown::Ingress => addresses.map(|(field, value)| json!({ field: value })).collect(),
        Shown::Service => addresses.map(of_service).collect(),
        Shown::Gateway => addresses.map(of_gateway).take(MOST_OF_A_GATEWAY).collect(),
    };
    if addresses.is_empty() {
        return None;
    }
    Some(match shown {
        Shown::Ingress | Shown::Service => json!({ "loadBalancer": { "ingress": addresses } }),
        Shown::Gateway => json!({ "addresses": addresses }),
    })
}

/// With the mode VIP, which is the default, kube-proxy takes an address for one of this cluster's, and keeps what pods send
/// there to itself.
fn of_service((field, value): (&str, String)) -> Value {
    match field {
        "ip" => json!({ field: value, "ipMode": "Proxy" }),
        _ => json!({ field: value }),
    }
}

fn of_gateway((field, value): (&str, String)) -> Value {
    let kind = if field == "ip" { "IPAddress" } else { "Hostname" };
    json!({ "type": kind, "value": value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::exposure::cluster::tests::site;
    use crate::source::exposure::site::Site;

    fn sites() -> Vec<Site> {
        vec![
            site("us", &["192.0.2.2", "2001:db8::1"], 1),
            site("eu", &["lb.eu", "192.0.2.1"], 2),
            site("ap", &["192.0.2.2"], 1),
            site("none", &["192.0.2.9"], 0),
        ]
    }

    fn of(shown: Shown, sites: &[Site]) -> Option<Value> {
        status(shown, &Cluster::all(sites))
    }

    #[test]
    fn an_ingress_shows_all_that_serve_in_order_without_doubles() {
        assert_eq!(
            of(Shown::Ingress, &sites()).unwrap(),
            json!({ "loadBalancer": { "ingress": [
                { "ip": "192.0.2.2" }, { "ip": "192.0.2.1" }, { "hostname": "lb.eu" }, { "ip": "2001:db8::1" },
            ] } })
        );
    }

    #[test]
    fn the_addresses_of_a_service_are_elsewhere() {
        let shown = of(Shown::Service, &[site("us", &["192.0.2.2", "lb.eu"], 1)]).unwrap();
        let expected = json!([{ "ip": "192.0.2.2", "ipMode": "Proxy" }, { "hostname": "lb.eu" }]);
        assert_eq!(shown["loadBalancer"]["ingress"], expected);
    }

    #[test]
    fn a_gateway_takes_sixteen() {
        let many: Vec<_> = (1..30).map(|i| format!("192.0.2.{i}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let shown = of(Shown::Gateway, &[site("us", &many, 1)]).unwrap();
        assert_eq!(shown["addresses"].as_array().unwrap().len(), 16);
        assert_eq!(
            shown["addresses"][0],
            json!({ "type": "IPAddress", "value": "192.0.2.1" })
        );
        let shown = of(Shown::Gateway, &[site("us", &["lb.eu"], 1)]).unwrap();
        assert_eq!(shown["addresses"], json!([{ "type": "Hostname", "value": "lb.eu" }]));
    }

    #[test]
    fn nothing_is_ours_when_nobody_serves_or_the_source_serves_itself() {
        assert_eq!(of(Shown::Ingress, &sites()[3..]), None);
        let mut sites = sites();
        sites[0].own = true;
        assert_eq!(of(Shown::Ingress, &sites), None);
    }
}
