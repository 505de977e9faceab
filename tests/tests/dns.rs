//! The testbed's own test: what external-dns is told, a resolver finds; load balancers have addresses.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::dns::{Dns, Zone};
use testbed::load_balancers::{Addresses, Front, LoadBalancers};
use testbed::{Cluster, ClusterOptions, Testbed, eventually};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn names_lead_where_external_dns_is_told() -> Result<()> {
    let testbed = Testbed::new("dns").await?;
    let binaries = testbed.binaries().with_dns().await?;
    let mut options = ClusterOptions::new("source", []);
    options.crds = binaries.dns_endpoint_crds()?;
    options.crds.extend(binaries.gateway_crds()?);
    options.crds.extend(binaries.multi_cluster_services_crds()?);
    let cluster = Cluster::start(&testbed, options).await?;
    let (us, eu) = (Addresses::new("us", 0), Addresses::new("eu", 1));
    let mut names = us.names();
    names.extend(eu.names());
    let dns = Dns::start(&testbed, &cluster, &names).await?;

    one_record_for_all(&cluster, &dns, &us, &eu).await?;
    a_record_for_each(&cluster, &dns, &us, &eu).await?;
    status(&cluster, &dns, us).await?;
    dns.check()
}

fn endpoint(name: &str, endpoints: &[Value]) -> String {
    json!({
        "apiVersion": "externaldns.k8s.io/v1alpha1", "kind": "DNSEndpoint",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "endpoints": endpoints },
    })
    .to_string()
}

async fn leads_to(dns: &Dns, name: &str, wanted: &[IpAddr]) -> Result<()> {
    let wanted: BTreeSet<_> = wanted.iter().copied().collect();
    eventually(&format!("{name} to lead to {wanted:?}"), SOON, async || {
        let found = dns.resolver.addresses(name).await?;
        ensure!(found == wanted, "{found:?}");
        Ok(Some(()))
    })
    .await
}

/// The policy of providers without set identifiers.
async fn one_record_for_all(cluster: &Cluster, dns: &Dns, us: &Addresses, eu: &Addresses) -> Result<()> {
    let host = Zone::Simple.host("web");
    let (us, eu) = (us.v4(Front::Ingress), eu.v4(Front::Ingress));
    let record = |targets: &[IpAddr]| {
        endpoint(
            "simple",
            &[json!({ "dnsName": host, "recordType": "A", "recordTTL": 5, "targets": targets })],
        )
    };
    cluster.apply_yaml(&record(&[us, eu])).await?;
    leads_to(dns, &host, &[us, eu]).await?;
    let ttl = dns.resolver.ask(&host, simple_dns::TYPE::A).await?[0].ttl;
    ensure!(ttl == 5, "TTL {ttl}");
    cluster.apply_yaml(&record(&[eu])).await?;
    leads_to(dns, &host, &[eu]).await?;
    cluster.kubectl(&["delete", "dnsendpoint", "simple"]).await?;
    leads_to(dns, &host, &[]).await
}

/// Set identifiers, weights, and a name instead of an address.
async fn a_record_for_each(cluster: &Cluster, dns: &Dns, us: &Addresses, eu: &Addresses) -> Result<()> {
    let host = Zone::Weighted.host("web");
    let record = |cluster: &str, kind: &str, target: Value, weight: &str| {
        json!({
            "dnsName": host, "recordType": kind, "recordTTL": 5, "targets": [target], "setIdentifier": cluster,
            "providerSpecific": [{ "name": "aws/weight", "value": weight }],
        })
    };
    let named = record("us", "CNAME", json!(us.hostname(Front::Ingress)), "3");
    cluster
        .apply_yaml(&endpoint("weighted", std::slice::from_ref(&named)))
        .await?;
    leads_to(dns, &host, &[us.v4(Front::Ingress)]).await?;
    let addressed = |name: &str, address| record(name, "A", json!(address), "1");
    let (first, second) = (us.v4(Front::Service), eu.v4(Front::Service));
    cluster
        .apply_yaml(&endpoint(
            "weighted",
            &[addressed("us", first), addressed("eu", second)],
        ))
        .await?;
    eventually("two records", SOON, async || {
        let records = dns.route53.records(&host);
        let weights: Vec<_> = records
            .iter()
            .map(|record| (record.set_identifier.as_deref(), record.weight))
            .collect();
        ensure!(weights == [(Some("eu"), Some(1)), (Some("us"), Some(1))], "{records:?}");
        Ok(Some(()))
    })
    .await?;
    let mut seen = BTreeSet::new();
    for _ in 0..50 {
        seen.extend(dns.resolver.addresses(&host).await?);
    }
    ensure!(seen == [first, second].into(), "{seen:?}");
    cluster.kubectl(&["delete", "dnsendpoint", "weighted"]).await?;
    leads_to(dns, &host, &[]).await
}

/// The status of an Ingress and a Service, with a load balancer's address, is enough for external-dns.
async fn status(cluster: &Cluster, dns: &Dns, us: Addresses) -> Result<()> {
    let balancers = LoadBalancers::start(cluster, us);
    balancers.serve_gateways();
    let us = &balancers.addresses;
    let (ingress, service) = (Zone::Status.host("ingress"), Zone::Status.host("service"));
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    let paths = json!([{ "path": "/", "pathType": "Prefix", "backend": backend }]);
    let objects = json!({ "apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "web", "namespace": "default",
                "annotations": { "external-dns.alpha.kubernetes.io/hostname": service },
            },
            "spec": { "type": "LoadBalancer", "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
        },
        {
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "web", "namespace": "default" },
            "spec": { "ingressClassName": "dual", "rules": [{ "host": ingress, "http": { "paths": paths } }] },
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": { "name": "web", "namespace": "default" },
            "spec": { "gatewayClassName": "any", "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }] },
        },
    ] });
    cluster.apply_yaml(&objects.to_string()).await?;
    leads_to(dns, &ingress, &[us.v4(Front::Ingress), us.v6(Front::Ingress)]).await?;
    leads_to(dns, &service, &[us.v4(Front::Service)]).await?;
    eventually("the Gateway's address", SOON, async || {
        let path = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/web";
        let gateway: Value = serde_json::from_str(&cluster.get(path).await?)?;
        ensure!(
            gateway["status"]["addresses"][0]["value"] == json!(us.v4(Front::Gateway)),
            "{gateway}"
        );
        Ok(Some(()))
    })
    .await
}
