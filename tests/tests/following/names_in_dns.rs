//! Policies of names: what external-dns is told, a provider has, and a resolver finds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::dns::Zone;
use testbed::eventually;
use testbed::load_balancers::Front;

use super::harness::{alone, test};
use super::objects::{DnsEndpoint, Service, merge};
use super::rule::LAG;
use super::web::{annotated, ingress, service};
use super::world::{REGIONS, SOON, Test, World};

impl World {
    /// Start an application behind an Ingress with these annotations; wait until its name leads to all of `targets`.
    async fn named(
        &self,
        ns: &str,
        host: &str,
        replicas: &[(&str, usize)],
        annotations: &[(&str, &str)],
        targets: &[&str],
    ) -> Result<()> {
        let routed = annotated(ingress(ns, "web", "nginx", &[host]), annotations);
        self.web(ns, "web", replicas, &[routed]).await?;
        self.leads_to(host, targets).await.map(drop)
    }

    /// The weights that Route 53 has for a name, by the target whose address it is.
    fn weights(&self, host: &str) -> BTreeMap<&'static str, Option<u32>> {
        let records = self.dns.route53.records(host);
        let of = |target: &'static str| {
            let own = |text: &&str| text.parse::<IpAddr>().is_ok_and(|ip| self.addresses(target).has(ip));
            let record = records.iter().find(|record| record.targets().iter().any(own))?;
            Some((target, record.weight))
        };
        REGIONS.iter().filter_map(|(target, _)| of(target)).collect()
    }

    async fn has_weights(&self, host: &str, wanted: &[(&'static str, u32)]) -> Result<()> {
        let wanted: BTreeMap<_, _> = wanted.iter().map(|(target, weight)| (*target, Some(*weight))).collect();
        eventually(&format!("the weights of {host} to be {wanted:?}"), SOON, async || {
            let found = self.weights(host);
            ensure!(found == wanted, "{found:?}");
            Ok(Some(()))
        })
        .await
    }
}

/// Each cluster gets in proportion to its ready pods.
async fn weighted(world: &World) -> Result<()> {
    let ns = world.namespace("weighted").await?;
    let host = Zone::Weighted.host("by-pods");
    world
        .named(ns, &host, &[("us", 1), ("eu", 3)], &[], &["us", "eu"])
        .await?;
    world.has_weights(&host, &[("us", 1), ("eu", 3)]).await?;
    let records = world.dns.route53.records(&host);
    for record in &records {
        ensure!(record.ttl.is_some_and(|ttl| ttl <= 10), "the TTL is long: {record:?}");
        ensure!(record.set_identifier.is_some(), "{record:?}");
    }
    world.scale(ns, "web-us", 4).await?;
    world.has_weights(&host, &[("us", 4), ("eu", 3)]).await?;
    // The shares that users see.
    let mut us = 0;
    for _ in 0..400 {
        let found = world.dns.resolver.addresses(&host).await?;
        us += usize::from(found.iter().any(|address| world.addresses("us").has(*address)));
    }
    ensure!(
        (180..=280).contains(&us),
        "{us} of 400 answers lead to us, 4 of 7 should"
    );
    // The one object beside the Ingress goes with it.
    world.arrives("source", DnsEndpoint, ns, "ingress-web").await?;
    world.remove("source", super::objects::Ingress, ns, "web").await?;
    world.leaves("source", DnsEndpoint, ns, "ingress-web").await?;
    world.leads_to(&host, &[]).await.map(drop)
}

async fn weights(world: &World) -> Result<()> {
    let ns = world.namespace("weights").await?;
    let host = Zone::Weighted.host("by-factor");
    let annotations = [(names::DNS_WEIGHTS, "us=3, eu-west-3=1"), (names::DNS_TTL, "7")];
    world
        .named(ns, &host, &[("us", 2), ("eu", 2)], &annotations, &["us", "eu"])
        .await?;
    world.has_weights(&host, &[("us", 6), ("eu", 2)]).await?;
    let ttls: Vec<_> = world
        .dns
        .route53
        .records(&host)
        .iter()
        .map(|record| record.ttl)
        .collect();
    ensure!(ttls == [Some(7), Some(7)], "{ttls:?}");
    Ok(())
}

/// The nearest region answers, and another one when it cannot.
async fn latency(world: &World) -> Result<()> {
    let ns = world.namespace("latency").await?;
    for (policy, name) in [("latency", "nearest"), ("latency-weighted", "nearest-weighted")] {
        let host = Zone::Weighted.host(name);
        let routed = annotated(ingress(ns, "web", "nginx", &[&host]), &[(names::DNS_POLICY, policy)]);
        world.web(ns, "web", &[("us", 2), ("eu", 1)], &[routed]).await?;
        let checked = nearest(world, ns, &host).await;
        world.dns.route53.ask_from(None);
        checked?;
        world.remove("source", super::objects::Ingress, ns, "web").await?;
        world.leads_to(&host, &[]).await?;
    }
    Ok(())
}

async fn nearest(world: &World, ns: &str, host: &str) -> Result<()> {
    for (target, region) in REGIONS {
        world.dns.route53.ask_from(Some(region));
        world.leads_to(host, &[target]).await?;
    }
    // We are in eu now.
    world.scale(ns, "web-eu", 0).await?;
    let took = world.leads_to(host, &["us"]).await?;
    ensure!(took < LAG, "it took {took:?}");
    world.scale(ns, "web-eu", 1).await?;
    world.leads_to(host, &["eu"]).await.map(drop)
}

async fn failover(world: &World) -> Result<()> {
    let ns = world.namespace("failover").await?;
    let host = Zone::Simple.host("failover");
    let annotations = [(names::DNS_POLICY, "failover"), (names::DNS_FAILOVER_ORDER, "eu, us")];
    world
        .named(ns, &host, &[("us", 3), ("eu", 1)], &annotations, &["eu"])
        .await?;
    world.scale(ns, "web-eu", 0).await?;
    let took = world.leads_to(&host, &["us"]).await?;
    ensure!(took < LAG, "it took {took:?}");
    world.scale(ns, "web-eu", 1).await?;
    world.leads_to(&host, &["eu"]).await?;
    let order = json!({ "metadata": { "annotations": { names::DNS_FAILOVER_ORDER: "us-west-2" } } });
    world.patch("source", super::objects::Ingress, ns, "web", order).await?;
    world.leads_to(&host, &["us"]).await.map(drop)
}

async fn none(world: &World) -> Result<()> {
    let ns = world.namespace("no-names").await?;
    let (host, other) = (Zone::Weighted.host("none"), Zone::Weighted.host("some"));
    let silent = annotated(ingress(ns, "web", "nginx", &[&host]), &[(names::DNS_POLICY, "none")]);
    let mut loud = ingress(ns, "web", "nginx", &[&other]);
    loud["metadata"]["name"] = json!("loud");
    world.web(ns, "web", &[("us", 1)], &[silent, loud]).await?;
    world.leads_to(&other, &["us"]).await?;
    ensure!(world.dns.resolver.addresses(&host).await?.is_empty());
    ensure!(world.find("source", DnsEndpoint, ns, "ingress-web").await?.is_none());
    Ok(())
}

/// A Service has names when it says so.
async fn of_a_service(world: &World) -> Result<()> {
    let ns = world.namespace("named-service").await?;
    let (first, second) = (Zone::Weighted.host("service"), Zone::Weighted.host("service-too"));
    world.web(ns, "web", &[("us", 1), ("eu", 1)], &[]).await?;
    let hosts = format!("{first}, {second}");
    let spec = json!({ "type": "LoadBalancer" });
    world
        .apply(&annotated(service(ns, "web", spec), &[(names::DNS_HOSTS, &hosts)]))
        .await?;
    for host in [&first, &second] {
        world.leads_to(host, &["us", "eu"]).await?;
        let found = world.dns.resolver.addresses(host).await?;
        let services = ["us", "eu"].map(|target| world.addresses(target).v4(Front::Service));
        ensure!(found.iter().all(|address| services.contains(address)), "{found:?}");
    }
    let fewer = json!({ "metadata": { "annotations": { names::DNS_HOSTS: second } } });
    world.patch("source", Service, ns, "web", fewer).await?;
    world.leads_to(&first, &[]).await?;
    world.leads_to(&second, &["us", "eu"]).await.map(drop)
}

/// What is written wrong is told, and the rest counts.
async fn bad_annotations(world: &World) -> Result<()> {
    let ns = world.namespace("bad-names").await?;
    let host = Zone::Weighted.host("good");
    let annotations = [
        (names::DNS_POLICY, "wieghted"),
        (names::DNS_TTL, "soon"),
        (names::DNS_HOSTS, "not_a_name!"),
        (names::DNS_WEIGHTS, "us=many"),
    ];
    world
        .named(ns, &host, &[("us", 1), ("eu", 1)], &annotations, &["us", "eu"])
        .await?;
    world
        .warned(ns, "Ingress", "web", &[names::DNS_POLICY, "weighted, latency"])
        .await?;
    world.warned(ns, "Ingress", "web", &[names::DNS_TTL]).await?;
    world
        .warned(ns, "Ingress", "web", &[names::DNS_HOSTS, "not_a_name"])
        .await
        .map(drop)
}

/// Who has a name first keeps it: nobody takes it away from another namespace.
async fn claimed(world: &World) -> Result<()> {
    let (first, second) = (
        world.namespace("claims-first").await?,
        world.namespace("claims-second").await?,
    );
    let host = Zone::Simple.host("claimed");
    let simple = [(names::DNS_POLICY, "simple")];
    world.named(first, &host, &[("us", 1)], &simple, &["us"]).await?;
    let routed = annotated(ingress(second, "web", "nginx", &[&host]), &simple);
    world.web(second, "web", &[("eu", 1)], &[routed]).await?;
    world.warned(second, "Ingress", "web", &[&host]).await?;
    world.leads_to(&host, &["us"]).await?;
    world.remove("source", super::objects::Ingress, first, "web").await?;
    world.leads_to(&host, &["eu"]).await.map(drop)
}

/// A rollout of many pods is one record that changes a few times, not one write for each pod.
async fn few_writes(world: &World) -> Result<()> {
    let ns = world.namespace("few-writes").await?;
    let host = Zone::Weighted.host("rollout");
    world
        .named(ns, &host, &[("us", 1), ("eu", 1)], &[], &["us", "eu"])
        .await?;
    let before = generation(world, ns).await?;
    world.scale(ns, "web-us", 60).await?;
    world.running(ns, 61).await?;
    world.has_weights(&host, &[("us", 60), ("eu", 1)]).await?;
    let written = generation(world, ns).await? - before;
    ensure!(written <= 25, "{written} writes for 59 pods");
    // But the last ready pod is not waited for.
    let start = Instant::now();
    world.scale(ns, "web-eu", 0).await?;
    let gone = |object: &Value| {
        let endpoints = object["spec"]["endpoints"].as_array().cloned().unwrap_or_default();
        endpoints.len() == 1
    };
    world.becomes("source", DnsEndpoint, ns, "ingress-web", gone).await?;
    ensure!(
        start.elapsed() < Duration::from_secs(4),
        "it took {:?}",
        start.elapsed()
    );
    Ok(())
}

async fn generation(world: &World, ns: &str) -> Result<i64> {
    let object = world.arrives("source", DnsEndpoint, ns, "ingress-web").await?;
    Ok(object["metadata"]["generation"].as_i64().unwrap_or_default())
}

/// Properties for one provider are passed on.
async fn properties(world: &World) -> Result<()> {
    let ns = world.namespace("properties").await?;
    let host = Zone::Weighted.host("proxied");
    let proxied = "external-dns.alpha.kubernetes.io/cloudflare-proxied";
    let mut routed = ingress(ns, "web", "nginx", &[&host]);
    merge(
        &mut routed,
        json!({ "metadata": { "annotations": { proxied: "true" } } }),
    );
    world.web(ns, "web", &[("us", 1)], &[routed]).await?;
    let passed_on = |object: &Value| {
        let endpoints = object["spec"]["endpoints"].as_array().cloned().unwrap_or_default();
        let property = json!({ "name": proxied, "value": "true" });
        !endpoints.is_empty()
            && endpoints.iter().all(|endpoint| {
                let properties = endpoint["providerSpecific"].as_array().cloned().unwrap_or_default();
                properties.contains(&property)
            })
    };
    world
        .becomes("source", DnsEndpoint, ns, "ingress-web", passed_on)
        .await?;
    // And other providers, as this one, do without.
    world.leads_to(&host, &["us"]).await.map(drop)
}

pub fn tests() -> Vec<Test> {
    vec![
        test("answers_are_spread_by_ready_pods", async |world| weighted(&world).await),
        test("weights_have_factors", async |world| weights(&world).await),
        // Where questions come from is one for all names.
        alone("the_nearest_region_answers", async |world| latency(&world).await),
        test("the_first_in_order_answers", async |world| failover(&world).await),
        test("no_names_are_published_when_not_wanted", async |world| {
            none(&world).await
        }),
        test("services_have_the_names_that_they_say", async |world| {
            of_a_service(&world).await
        }),
        test("wrong_annotations_are_told", async |world| {
            bad_annotations(&world).await
        }),
        test("a_name_belongs_to_who_was_first", async |world| claimed(&world).await),
        alone("a_rollout_writes_few_records", async |world| few_writes(&world).await),
        test("properties_of_providers_are_passed_on", async |world| {
            properties(&world).await
        }),
    ]
}
