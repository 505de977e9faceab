//! The status of the source's objects shows the load balancers of all targets that serve, so that a plain external-dns in
//! the source is enough for round robin.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::dns::Zone;
use testbed::load_balancers::{DUAL, Front, NAMED};
use testbed::{Network, eventually};

use super::harness::{alone, test};
use super::objects::{Gateway, Ingress, Kind, Service, merge};
use super::routes::{gateway, http_route};
use super::rule::LAG;
use super::web::{annotated, ingress, service};
use super::world::{SOON, Test, World};

/// Addresses and names that a status shows, each as often as it is there.
fn shown(object: &Value) -> Vec<String> {
    let entries = ["/status/loadBalancer/ingress", "/status/addresses"]
        .iter()
        .filter_map(|path| object.pointer(path)?.as_array())
        .flatten();
    let text = |entry: &Value| {
        let found = ["ip", "hostname", "value"]
            .iter()
            .find_map(|field| entry[field].as_str());
        found.map(str::to_owned)
    };
    let mut all: Vec<_> = entries.filter_map(text).collect();
    all.sort();
    all
}

impl World {
    /// Wait until a status in the source shows exactly this.
    pub async fn shows(&self, kind: Kind, ns: &str, name: &str, wanted: &[String]) -> Result<()> {
        let mut wanted = wanted.to_vec();
        wanted.sort();
        let holds = |object: &Value| shown(object) == wanted;
        self.becomes("source", kind, ns, name, holds).await.map(drop)
    }

    /// Wait until a name leads to these addresses and no others.
    pub async fn resolves(&self, host: &str, wanted: &[IpAddr]) -> Result<()> {
        let wanted: BTreeSet<_> = wanted.iter().copied().collect();
        eventually(&format!("{host} to lead to {wanted:?}"), SOON, async || {
            let found = self.dns.resolver.addresses(host).await?;
            ensure!(found == wanted, "{found:?}");
            Ok(Some(()))
        })
        .await
    }

    fn both(&self, address: impl Fn(&testbed::load_balancers::Addresses) -> IpAddr) -> [IpAddr; 2] {
        ["us", "eu"].map(|target| address(self.addresses(target)))
    }
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

async fn of_an_ingress(world: &World) -> Result<()> {
    let ns = world.namespace("ingress-status").await?;
    let host = Zone::Status.host("ingress");
    let both = world.both(|own| own.v4(Front::Ingress));
    world
        .web(
            ns,
            "web",
            &[("us", 1), ("eu", 2)],
            &[ingress(ns, "web", "nginx", &[&host])],
        )
        .await?;
    world.shows(Ingress, ns, "web", &texts(&both)).await?;
    world.resolves(&host, &both).await?;
    world.scale(ns, "web-us", 0).await?;
    world.shows(Ingress, ns, "web", &texts(&both[1..])).await?;
    world.resolves(&host, &both[1..]).await?;
    world.scale(ns, "web-eu", 0).await?;
    world.shows(Ingress, ns, "web", &[]).await?;
    world.scale(ns, "web-us", 1).await?;
    world.shows(Ingress, ns, "web", &texts(&both[..1])).await?;
    world.resolves(&host, &both[..1]).await
}

async fn of_a_service(world: &World) -> Result<()> {
    let ns = world.namespace("service-status").await?;
    let host = Zone::Status.host("service");
    world.web(ns, "web", &[("us", 1), ("eu", 1)], &[]).await?;
    let annotations = [("external-dns.alpha.kubernetes.io/hostname", host.as_str())];
    let spec = json!({ "type": "LoadBalancer" });
    world.apply(&annotated(service(ns, "web", spec), &annotations)).await?;
    let both = world.both(|own| own.v4(Front::Service));
    world.shows(Service, ns, "web", &texts(&both)).await?;
    world.resolves(&host, &both).await?;
    world.scale(ns, "web-eu", 0).await?;
    world.shows(Service, ns, "web", &texts(&both[..1])).await?;
    // A Service that is a load balancer no more has no load balancers.
    world
        .patch("source", Service, ns, "web", json!({ "spec": { "type": "ClusterIP" } }))
        .await?;
    world.shows(Service, ns, "web", &[]).await
}

async fn of_a_gateway(world: &World) -> Result<()> {
    let ns = world.namespace("gateway-status").await?;
    let host = Zone::Weighted.host("gateway");
    for target in ["us", "eu"] {
        world.target(target).apply_yaml(&gateway(ns, "any").to_string()).await?;
    }
    world.apply(&gateway(ns, "elsewhere")).await?;
    world
        .web(ns, "web", &[("us", 1), ("eu", 1)], &[http_route(ns, "web", &[&host])])
        .await?;
    let both = world.both(|own| own.v4(Front::Gateway));
    world.shows(Gateway, ns, "front", &texts(&both)).await?;
    world.leads_to(&host, &["us", "eu"]).await?;
    world.scale(ns, "web-us", 0).await?;
    world.shows(Gateway, ns, "front", &texts(&both[1..])).await?;
    world.leads_to(&host, &["eu"]).await.map(drop)
}

/// Both families, and names instead of addresses.
async fn of_other_addresses(world: &World) -> Result<()> {
    let ns = world.namespace("other-addresses").await?;
    let mut named = ingress(ns, "named", NAMED, &["named.example"]);
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    merge(&mut named["spec"], json!({ "rules": null, "defaultBackend": backend }));
    let host = Zone::Status.host("dual");
    world
        .web(
            ns,
            "web",
            &[("us", 1), ("eu", 1)],
            &[ingress(ns, "web", DUAL, &[&host]), named],
        )
        .await?;
    let mut both = world.both(|own| own.v4(Front::Ingress)).to_vec();
    both.extend(world.both(|own| own.v6(Front::Ingress)));
    world.shows(Ingress, ns, "web", &texts(&both)).await?;
    world.resolves(&host, &both).await?;
    let names = ["us", "eu"].map(|target| world.addresses(target).hostname(Front::Ingress));
    world.shows(Ingress, ns, "named", &names).await
}

/// A controller in the source serves the class itself: its status is its own.
async fn of_another_controller(world: &World) -> Result<()> {
    let ns = world.namespace("others-status").await?;
    world.apply(&ingress(ns, "web", "nginx", &["others.example"])).await?;
    let theirs = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.99" }] } } }).to_string();
    let args = [
        "patch",
        "ingress",
        "-n",
        ns,
        "web",
        "--subresource=status",
        "--type=merge",
        "-p",
        &theirs,
    ];
    world.source().kubectl(&args).await?;
    world.web(ns, "web", &[("us", 1)], &[]).await?;
    world.arrives("us", Ingress, ns, "web").await?;
    world.warned(ns, "Ingress", "web", &["status"]).await?;
    let object = world.find("source", Ingress, ns, "web").await?.unwrap();
    ensure!(shown(&object) == ["203.0.113.99"], "{object:#}");
    Ok(())
}

/// Nobody serves behind an address of a target that is cut off, as far as anybody can know.
async fn of_a_target_that_is_away(world: &World) -> Result<()> {
    let ns = world.namespace("status-away").await?;
    let both = world.both(|own| own.v4(Front::Ingress));
    world
        .web(
            ns,
            "web",
            &[("us", 1), ("eu", 1)],
            &[ingress(ns, "web", "nginx", &["away.example"])],
        )
        .await?;
    world.shows(Ingress, ns, "web", &texts(&both)).await?;
    world.link("us").set(Network::Dropping);
    let start = std::time::Instant::now();
    let meanwhile = world.shows(Ingress, ns, "web", &texts(&both[1..])).await;
    let took = start.elapsed();
    world.link("us").set(Network::Up);
    meanwhile?;
    ensure!(took < LAG, "it took {took:?}");
    world.shows(Ingress, ns, "web", &texts(&both)).await?;
    world.product.wait_node_ready("admiralty-us").await
}

pub fn tests() -> Vec<Test> {
    vec![
        test("an_ingress_shows_who_serves", async |world| of_an_ingress(&world).await),
        test("a_service_shows_who_serves", async |world| of_a_service(&world).await),
        test("a_gateway_shows_who_serves", async |world| of_a_gateway(&world).await),
        test("both_families_and_names_are_shown", async |world| {
            of_other_addresses(&world).await
        }),
        test("a_status_of_another_controller_is_left_alone", async |world| {
            of_another_controller(&world).await
        }),
        alone("a_target_that_is_away_is_not_shown", async |world| {
            of_a_target_that_is_away(&world).await
        }),
    ]
}
