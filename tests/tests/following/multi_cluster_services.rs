//! The Multi-Cluster Services API: an exported Service gets an import with the endpoints of all clusters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::{Network, eventually};

use super::harness::{alone, test};
use super::objects::Kind::{ServiceExport, ServiceImport};
use super::objects::{EndpointSlice, Service, list};
use super::web::{deployments, service};
use super::world::{SOON, Test, World, node_of};

const CLUSTERS: [&str; 3] = ["source", "us", "eu"];
/// A cluster that was cut off is out of the others' endpoints within this time.
const LAG: Duration = Duration::from_secs(10);

/// Of each address in each cluster, whether it is ready. The nodes of the testbed are no network: clusters give addresses twice.
type Endpoints = BTreeMap<(String, String), bool>;

/// The endpoints of an import, as kube-proxy and DNS servers find them.
async fn endpoints(world: &World, cluster: &str, ns: &str, name: &str) -> Result<Endpoints> {
    let mut endpoints = Endpoints::new();
    let labels = format!("{}={name}", names::MCS_SERVICE_NAME);
    for slice in world.all(cluster, EndpointSlice, ns, &labels).await? {
        let label = |key: &str| slice["metadata"]["labels"][key].as_str().unwrap_or_default();
        ensure!(label("kubernetes.io/service-name").starts_with("derived-"), "{slice:#}");
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            ensure!(
                endpoint["targetRef"].is_null() && endpoint["nodeName"].is_null(),
                "{endpoint:#}"
            );
            let address = endpoint["addresses"][0].as_str().unwrap_or_default().to_owned();
            let ready = endpoint["conditions"]["ready"] == true;
            endpoints.insert((label(names::MCS_SOURCE_CLUSTER).to_owned(), address), ready);
        }
    }
    Ok(endpoints)
}

/// The endpoints that the pods of an application should be.
async fn pods(world: &World, ns: &str, app: &str) -> Result<Endpoints> {
    let pods = Api::<Pod>::namespaced(world.source().client(), ns);
    let pods = pods.list(&ListParams::default().labels(&format!("app={app}"))).await?;
    let alive = pods
        .items
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let mut endpoints = Endpoints::new();
    for pod in alive {
        let status = pod.status.clone().unwrap_or_default();
        let address = status
            .pod_ip
            .with_context(|| format!("{} has no address", pod.name_any()))?;
        endpoints.insert((node_of(pod), address), true);
    }
    Ok(endpoints)
}

/// Wait until an import has the endpoints of all pods.
async fn serves_all(world: &World, cluster: &str, ns: &str, name: &str) -> Result<()> {
    eventually(&format!("all endpoints of {name} in {cluster}"), SOON, async || {
        let (wanted, found) = (pods(world, ns, name).await?, endpoints(world, cluster, ns, name).await?);
        ensure!(found == wanted, "{found:?} instead of {wanted:?}");
        Ok(Some(()))
    })
    .await
}

/// Wait until a condition of an export has this status and reason.
async fn says(world: &World, ns: &str, name: &str, type_: &str, wanted: (&str, &str)) -> Result<()> {
    let holds = |export: &Value| {
        let conditions = export["status"]["conditions"].as_array().into_iter().flatten();
        let mut of_type = conditions.filter(|condition| condition["type"] == type_);
        of_type.any(|condition| {
            (condition["status"].as_str(), condition["reason"].as_str()) == (Some(wanted.0), Some(wanted.1))
        })
    };
    world.becomes("source", ServiceExport, ns, name, holds).await.map(drop)
}

/// Wait until nothing of an import is left.
async fn is_gone(world: &World, cluster: &str, ns: &str, name: &str) -> Result<()> {
    world.leaves(cluster, ServiceImport, ns, name).await?;
    let labels = format!("{}={name}", names::IMPORT);
    eventually(&format!("nothing of {name} in {cluster}"), SOON, async || {
        for kind in [Service, EndpointSlice] {
            let left = world.all(cluster, kind, ns, &labels).await?;
            ensure!(left.is_empty(), "{left:#?}");
        }
        Ok(Some(()))
    })
    .await
}

async fn everywhere(world: &World) -> Result<()> {
    let ns = world.namespace("exported").await?;
    let mut all = deployments(ns, "web", &[("us", 2), ("eu", 1)]);
    all.push(service(ns, "web", json!({ "sessionAffinity": "ClientIP" })));
    all.push(ServiceExport.object(ns, "web", json!({ "spec": { "exportedLabels": { "team": "web" } } })));
    world.apply(&list(&all)).await?;
    world.running(ns, 3).await?;
    for cluster in CLUSTERS {
        let has_addresses = |import: &Value| import["spec"]["ips"].as_array().is_some_and(|ips| !ips.is_empty());
        let import = world.becomes(cluster, ServiceImport, ns, "web", has_addresses).await?;
        ensure!(import["spec"]["type"] == "ClusterSetIP", "{import:#}");
        ensure!(import["spec"]["sessionAffinity"] == "ClientIP", "{import:#}");
        ensure!(import["metadata"]["labels"]["team"] == "web", "{import:#}");
        serves_all(world, cluster, ns, "web").await?;
        let both = json!([{ "cluster": "admiralty-eu" }, { "cluster": "admiralty-us" }]);
        let is_ready = |import: &Value| {
            import["status"]["clusters"] == both && import["status"]["conditions"][0]["status"] == "True"
        };
        let import = world.becomes(cluster, ServiceImport, ns, "web", is_ready).await?;
        let derived = world
            .all(cluster, Service, ns, &format!("{}=web", names::IMPORT))
            .await?;
        ensure!(
            derived.len() == 1 && derived[0]["spec"]["selector"].is_null(),
            "{derived:#?}"
        );
        ensure!(
            derived[0]["spec"]["clusterIPs"] == import["spec"]["ips"],
            "{derived:#?} {import:#}"
        );
    }
    says(world, ns, "web", "Valid", ("True", "Valid")).await?;
    says(world, ns, "web", "Ready", ("True", "Exported")).await?;

    world.scale(ns, "web-eu", 0).await?;
    world.running(ns, 2).await?;
    for cluster in CLUSTERS {
        serves_all(world, cluster, ns, "web").await?;
        let found = endpoints(world, cluster, ns, "web").await?;
        ensure!(found.keys().all(|(cluster, _)| cluster == "admiralty-us"), "{found:?}");
    }
    world.scale(ns, "web-eu", 2).await?;
    world.running(ns, 4).await?;
    for cluster in CLUSTERS {
        serves_all(world, cluster, ns, "web").await?;
    }

    world.remove("source", ServiceExport, ns, "web").await?;
    for cluster in CLUSTERS {
        is_gone(world, cluster, ns, "web").await?;
    }
    // What follows the pods is not what is imported.
    world.arrives("us", Service, ns, "web").await.map(drop)
}

async fn headless(world: &World) -> Result<()> {
    let ns = world.namespace("exported-headless").await?;
    let mut all = deployments(ns, "web", &[("us", 1), ("eu", 1)]);
    all.push(service(ns, "web", json!({ "clusterIP": "None" })));
    all.push(ServiceExport.object(ns, "web", json!({})));
    world.apply(&list(&all)).await?;
    world.running(ns, 2).await?;
    for cluster in CLUSTERS {
        let import = world.arrives(cluster, ServiceImport, ns, "web").await?;
        ensure!(
            import["spec"]["type"] == "Headless" && import["spec"]["ips"].is_null(),
            "{import:#}"
        );
        serves_all(world, cluster, ns, "web").await?;
    }
    Ok(())
}

async fn what_is_theirs(world: &World) -> Result<()> {
    let ns = world.namespace("exported-twice").await?;
    let theirs = json!({ "spec": { "type": "Headless", "ports": [{ "port": 5432 }] } });
    let theirs = ServiceImport.object(ns, "web", theirs);
    super::objects::api(world.target("us"), ServiceImport, ns)
        .create(&Default::default(), &serde_json::from_value(theirs)?)
        .await?;
    let mut all = deployments(ns, "web", &[("eu", 1)]);
    all.push(service(ns, "web", json!({})));
    all.push(ServiceExport.object(ns, "web", json!({})));
    world.apply(&list(&all)).await?;
    says(world, ns, "web", "Conflict", ("True", "NameTaken")).await?;
    world
        .warned(ns, "ServiceExport", "web", &["admiralty-us", "web"])
        .await?;
    serves_all(world, "eu", ns, "web").await?;
    let import = world
        .find("us", ServiceImport, ns, "web")
        .await?
        .context("it is gone")?;
    ensure!(import["spec"]["ports"][0]["port"] == 5432, "{import:#}");
    let derived = world.all("us", Service, ns, &format!("{}=web", names::IMPORT)).await?;
    ensure!(derived.is_empty(), "{derived:#?}");
    Ok(())
}

async fn no_such_service(world: &World) -> Result<()> {
    let ns = world.namespace("exported-nothing").await?;
    world
        .apply(&list(&[ServiceExport.object(ns, "web", json!({}))]))
        .await?;
    says(world, ns, "web", "Valid", ("False", "NoService")).await?;
    let external = json!({ "spec": { "type": "ExternalName", "externalName": "web.example" } });
    world.apply(&list(&[Service.object(ns, "web", external)])).await?;
    says(world, ns, "web", "Valid", ("False", "InvalidServiceType")).await?;
    world.leaves("us", ServiceImport, ns, "web").await
}

async fn put_back(world: &World) -> Result<()> {
    let ns = world.namespace("exported-meddled").await?;
    let mut all = deployments(ns, "web", &[("us", 1)]);
    all.push(service(ns, "web", json!({})));
    all.push(ServiceExport.object(ns, "web", json!({})));
    world.apply(&list(&all)).await?;
    world.running(ns, 1).await?;
    serves_all(world, "eu", ns, "web").await?;
    let labels = format!("{}=web", names::IMPORT);
    for kind in [EndpointSlice, Service] {
        let there = world.all("eu", kind, ns, &labels).await?;
        let name = there[0]["metadata"]["name"].as_str().unwrap_or_default();
        world.remove("eu", kind, ns, name).await?;
        world.arrives("eu", kind, ns, name).await?;
    }
    world.remove("eu", ServiceImport, ns, "web").await?;
    let derived = async || Ok::<_, anyhow::Error>(world.all("eu", Service, ns, &labels).await?.remove(0));
    let addresses = derived().await?["spec"]["clusterIPs"].clone();
    let is_whole = |import: &Value| import["spec"]["ips"] == addresses;
    world.becomes("eu", ServiceImport, ns, "web", is_whole).await?;
    serves_all(world, "eu", ns, "web").await
}

async fn cut_off(world: Arc<World>) -> Result<()> {
    let ns = world.namespace("exported-cut").await?;
    let mut all = deployments(ns, "web", &[("us", 1), ("eu", 1)]);
    all.push(service(ns, "web", json!({})));
    all.push(ServiceExport.object(ns, "web", json!({})));
    world.apply(&list(&all)).await?;
    world.running(ns, 2).await?;
    serves_all(&world, "us", ns, "web").await?;
    world.link("eu").set(Network::Dropping);
    let start = Instant::now();
    let left = eventually("endpoints of eu not to be ready in us", 2 * LAG, async || {
        let found = endpoints(&world, "us", ns, "web").await?;
        let ready = found.iter().filter(|(_, ready)| **ready);
        let ready: Vec<_> = ready.map(|((cluster, _), _)| cluster).collect();
        ensure!(ready == ["admiralty-us"], "{found:?}");
        Ok(Some(()))
    })
    .await;
    let took = start.elapsed();
    world.link("eu").set(Network::Up);
    left?;
    ensure!(took < LAG, "it took {took:?}");
    world.product.wait_node_ready("admiralty-eu").await?;
    for cluster in CLUSTERS {
        serves_all(&world, cluster, ns, "web").await?;
    }
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![
        test(
            "an_exported_service_has_the_endpoints_of_all_clusters_in_all_clusters",
            async |world| everywhere(&world).await,
        ),
        test("an_exported_headless_service_stays_headless", async |world| {
            headless(&world).await
        }),
        test("an_import_that_somebody_else_made_is_left_alone", async |world| {
            what_is_theirs(&world).await
        }),
        test("an_export_of_no_service_says_so", async |world| {
            no_such_service(&world).await
        }),
        test("an_import_that_somebody_changes_is_put_back", async |world| {
            put_back(&world).await
        }),
        alone("a_target_that_is_cut_off_is_no_endpoint_of_an_import", async |world| {
            cut_off(world).await
        }),
    ]
}
