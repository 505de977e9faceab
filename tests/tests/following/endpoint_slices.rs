//! EndpointSlices with the external addresses of an application: the interface for load balancers beyond DNS.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, ensure};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::eventually;
use testbed::load_balancers::{DUAL, Front};

use super::harness::test;
use super::objects::{EndpointSlice, Ingress, annotation};
use super::web::ingress;
use super::world::{SOON, Test, World};

/// Of each address: whether it is ready, and the weight.
type Shown = BTreeMap<IpAddr, (bool, String)>;

async fn shown(world: &World, ns: &str, exposed: &str) -> Result<Shown> {
    let slices = format!("{}={exposed}", names::EXPOSES);
    let mut shown = Shown::new();
    for slice in world.all("source", EndpointSlice, ns, &slices).await? {
        ensure!(
            slice["metadata"]["labels"]["kubernetes.io/service-name"].is_null(),
            "kube-proxy would take it for a Service's: {slice:#}"
        );
        let weight = annotation(&slice, names::WEIGHT).unwrap_or_default().to_owned();
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let ready = endpoint["conditions"]["ready"] == true;
            for address in endpoint["addresses"].as_array().into_iter().flatten() {
                let address = address.as_str().unwrap_or_default().parse()?;
                shown.insert(address, (ready, weight.clone()));
            }
        }
    }
    Ok(shown)
}

async fn shows(world: &World, ns: &str, wanted: &[(IpAddr, bool, &str)]) -> Result<()> {
    let wanted: Shown = wanted
        .iter()
        .map(|(ip, ready, weight)| (*ip, (*ready, (*weight).to_owned())))
        .collect();
    eventually(&format!("EndpointSlices to be {wanted:?}"), SOON, async || {
        let found = shown(world, ns, "ingress.web").await?;
        ensure!(found == wanted, "{found:?}");
        Ok(Some(()))
    })
    .await
}

async fn of_an_ingress(world: &World) -> Result<()> {
    let ns = world.namespace("slices").await?;
    let host = "slices.example";
    world
        .web(ns, "web", &[("us", 1), ("eu", 2)], &[ingress(ns, "web", DUAL, &[host])])
        .await?;
    let (us, eu) = (world.addresses("us"), world.addresses("eu"));
    let (us4, us6) = (us.v4(Front::Ingress), us.v6(Front::Ingress));
    let (eu4, eu6) = (eu.v4(Front::Ingress), eu.v6(Front::Ingress));
    shows(
        world,
        ns,
        &[(us4, true, "1"), (us6, true, "1"), (eu4, true, "2"), (eu6, true, "2")],
    )
    .await?;
    let slices = world.all("source", EndpointSlice, ns, names::EXPOSES).await?;
    for slice in &slices {
        let (region, node) = (annotation(slice, names::REGION), annotation(slice, names::CLUSTER));
        let right = [("us-west-2", "admiralty-us"), ("eu-west-3", "admiralty-eu")]
            .iter()
            .any(|(own, name)| (region, node) == (Some(own), Some(name)));
        ensure!(right, "{slice:#}");
        ensure!(slice["ports"][0]["port"] == 80, "{slice:#}");
    }
    // A cluster without ready pods is not ready, as long as it has an address.
    world.scale(ns, "web-us", 0).await?;
    eventually("us not to be ready", SOON, async || {
        let found = shown(world, ns, "ingress.web").await?;
        let of_us: Vec<_> = found
            .iter()
            .filter(|(address, _)| [us4, us6].contains(address))
            .collect();
        ensure!(of_us.iter().all(|(_, (ready, _))| !ready), "{found:?}");
        ensure!(found.get(&eu4) == Some(&(true, "2".to_owned())), "{found:?}");
        Ok(Some(()))
    })
    .await?;
    world.remove("source", Ingress, ns, "web").await?;
    shows(world, ns, &[]).await
}

/// Somebody changes one: it is put back.
async fn put_back(world: &World) -> Result<()> {
    let ns = world.namespace("slices-put-back").await?;
    world
        .web(
            ns,
            "web",
            &[("us", 1)],
            &[ingress(ns, "web", "nginx", &["put-back.example"])],
        )
        .await?;
    let us = world.addresses("us").v4(Front::Ingress);
    shows(world, ns, &[(us, true, "1")]).await?;
    let slices = world.all("source", EndpointSlice, ns, names::EXPOSES).await?;
    let name = slices[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let wrong: Value = json!({ "endpoints": [{ "addresses": ["203.0.113.66"], "conditions": { "ready": true } }] });
    world.patch("source", EndpointSlice, ns, &name, wrong).await?;
    shows(world, ns, &[(us, true, "1")]).await?;
    world.remove("source", EndpointSlice, ns, &name).await?;
    shows(world, ns, &[(us, true, "1")]).await
}

pub fn tests() -> Vec<Test> {
    vec![
        test("endpoint_slices_show_addresses_and_weights", async |world| {
            of_an_ingress(&world).await
        }),
        test("endpoint_slices_are_put_back", async |world| put_back(&world).await),
    ]
}
