//! Exported Services, from the source's watches to what all clusters have.

use http::Method;

use super::*;
use crate::changes::Key;

const IMPORTS: &str = "serviceimports";
const SLICES: &str = "endpointslices";

/// A source and two targets, with a Service and a pod of it in each target.
async fn shop() -> World {
    let world = World::start(&["us", "eu"]).await;
    world.clusters().iter().for_each(|cluster| cluster.give_addresses());
    world.service("web", json!({ "app": "web" }));
    world.run("a", "us", "10.1.0.1");
    world.run("b", "eu", "10.2.0.1");
    world
}

impl World {
    /// A pod of the Service runs in a target.
    fn run(&self, name: &str, target: &'static str, address: &str) {
        self.pod(name, &[], &[]);
        self.send(name, target);
        self.source.edit("pods", "shop", name, |pod| {
            pod["spec"]["nodeName"] = node(target).into();
            pod["status"] = json!({
                "phase": "Running", "podIPs": [{ "ip": address }], "conditions": [{ "type": "Ready", "status": "True" }],
            });
        });
    }

    fn export(&self, name: &str) {
        let metadata = json!({ "namespace": "shop", "name": name });
        self.source.put("serviceexports", json!({ "metadata": metadata }));
    }

    /// `status` and `reason` of a condition of the export.
    fn condition(&self, name: &str, type_: &str) -> (String, String) {
        let export = self.source.get("serviceexports", "shop", name).unwrap();
        let conditions = export["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions
            .into_iter()
            .find(|condition| condition["type"] == type_)
            .unwrap_or_default();
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    fn clusters(&self) -> [&Fake; 3] {
        [&self.source, &self.targets["us"], &self.targets["eu"]]
    }

    fn away(&self, target: &str, away: bool) {
        let follower = self.home.following.followers.get(&node(target)).unwrap();
        follower.learn(|facts| facts.serves = Some(!away));
    }
}

/// The addresses that a cluster has of imports, each with its readiness.
fn endpoints(cluster: &Fake) -> Vec<(String, bool)> {
    let slices = cluster.all(SLICES, "shop");
    let ours = slices
        .iter()
        .filter(|slice| !slice["metadata"]["labels"][names::IMPORT].is_null());
    let endpoints = ours.flat_map(|slice| slice["endpoints"].as_array().unwrap());
    let mut all: Vec<_> = endpoints
        .map(|endpoint| {
            let ready = endpoint["conditions"]["ready"].as_bool().unwrap();
            (endpoint["addresses"][0].as_str().unwrap().to_owned(), ready)
        })
        .collect();
    all.sort();
    all
}

fn addresses(cluster: &Fake) -> Vec<String> {
    endpoints(cluster).into_iter().map(|(address, _)| address).collect()
}

fn is_imported(cluster: &Fake) -> bool {
    let import = cluster.get(IMPORTS, "shop", "web");
    import.is_some_and(|import| import["spec"]["ips"].as_array().is_some_and(|ips| ips.len() == 1))
}

fn is_bare(cluster: &Fake) -> bool {
    let derived = cluster.all("services", "shop");
    let derived = derived.iter().filter(|service| service["spec"]["selector"].is_null());
    cluster.all(IMPORTS, "shop").is_empty() && cluster.all(SLICES, "shop").is_empty() && derived.count() == 0
}

#[tokio::test(start_paused = true)]
async fn all_clusters_import_the_pods_of_all_clusters() {
    let world = shop().await;
    world.export("web");
    for cluster in world.clusters() {
        until("imported", || is_imported(cluster)).await;
        until("all pods", || addresses(cluster) == ["10.1.0.1", "10.2.0.1"]).await;
    }
    until("told", || {
        world.condition("web", "Ready") == ("True".into(), "Exported".into())
    })
    .await;
    world.run("c", "eu", "10.2.0.2");
    for cluster in world.clusters() {
        until("the new one", || {
            addresses(cluster) == ["10.1.0.1", "10.2.0.1", "10.2.0.2"]
        })
        .await;
    }
    // The Service that follows the pods is another one.
    assert!(world.targets["us"].get("services", "shop", "web").is_some());
    world.source.remove("serviceexports", "shop", "web");
    for cluster in world.clusters() {
        until("taken back", || is_bare(cluster)).await;
    }
    assert!(world.targets["us"].get("services", "shop", "web").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_pods_has_no_endpoints_anywhere() {
    let world = shop().await;
    world.export("web");
    until("both", || addresses(&world.targets["us"]).len() == 2).await;
    world.source.remove("pods", "shop", "b");
    for cluster in world.clusters() {
        until("one left", || addresses(cluster) == ["10.1.0.1"]).await;
    }
    assert!(is_imported(&world.targets["eu"]));
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_target_that_is_away_are_ready_nowhere_else() {
    let world = shop().await;
    world.export("web");
    let is =
        |cluster: &Fake, us: bool, eu: bool| endpoints(cluster) == [("10.1.0.1".into(), us), ("10.2.0.1".into(), eu)];
    for cluster in world.clusters() {
        until("both", || is(cluster, true, true)).await;
    }
    world.away("eu", true);
    until("seen", || {
        is(&world.targets["us"], true, false) && is(&world.source, true, false)
    })
    .await;
    // There they are as they were.
    throughout(Duration::from_secs(5), "own pods", || {
        is(&world.targets["eu"], true, true)
    })
    .await;
    world.away("eu", false);
    until("back", || is(&world.targets["us"], true, true)).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_pod_is_reached_by_may_change_while_it_is_ready() {
    let world = shop().await;
    world.export("web");
    until("both", || addresses(&world.source).len() == 2).await;
    world.source.edit("pods", "shop", "a", |pod| {
        pod["status"]["podIPs"] = json!([{ "ip": "10.1.0.9" }])
    });
    until("the new address", || {
        addresses(&world.source) == ["10.1.0.9", "10.2.0.1"]
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pods_of_the_source_itself_are_endpoints_too() {
    let world = shop().await;
    world.source.put(
        SLICES,
        json!({
            "metadata": { "namespace": "shop", "name": "web-x", "labels": {
                "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            } },
            "addressType": "IPv4", "ports": [{ "name": "", "port": 80, "protocol": "TCP" }],
            "endpoints": [{ "addresses": ["10.0.0.5"], "conditions": { "ready": true } }],
        }),
    );
    world.export("web");
    until("all three", || {
        addresses(&world.targets["us"]) == ["10.0.0.5", "10.1.0.1", "10.2.0.1"]
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_the_definition_is_left_out_and_nothing_else_is() {
    let world = shop().await;
    world.targets["us"].rule("undefined", |_, path| {
        let missing = path.plural == IMPORTS;
        missing.then(|| (404, json!("404 page not found")))
    });
    world.export("web");
    until("imported", || is_imported(&world.targets["eu"])).await;
    until("told", || {
        world.condition("web", "Ready") == ("True".into(), "Exported".into())
    })
    .await;
    throughout(Duration::from_secs(60), "nothing there", || {
        is_bare(&world.targets["us"])
    })
    .await;
    let told = world.source.all("events", "shop");
    let about_exports = told
        .iter()
        .filter(|event| event["regarding"]["kind"] == "ServiceExport");
    assert_eq!(about_exports.count(), 0, "{told:?}");
    // It is looked for now and then.
    world.targets["us"].lift("undefined");
    until("imported there, too", || is_imported(&world.targets["us"])).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_exist_is_told_and_exported_when_it_comes() {
    let world = World::start(&["us"]).await;
    world.targets["us"].give_addresses();
    world.export("web");
    until("told", || {
        world.condition("web", "Valid") == ("False".into(), "NoService".into())
    })
    .await;
    assert!(is_bare(&world.targets["us"]));
    world.service("web", json!({ "app": "web" }));
    until("imported", || is_imported(&world.targets["us"])).await;
    until("told", || {
        world.condition("web", "Valid") == ("True".into(), "Valid".into())
    })
    .await;
    world.source.edit("services", "shop", "web", |service| {
        service["spec"]["ports"][0]["port"] = json!(81)
    });
    let port = || world.targets["us"].get(IMPORTS, "shop", "web").unwrap()["spec"]["ports"][0]["port"].clone();
    until("the new port", || port() == 81).await;
    world.source.remove("services", "shop", "web");
    until("gone", || is_bare(&world.targets["us"])).await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_told_once_and_left_alone() {
    let world = shop().await;
    let metadata = json!({ "namespace": "shop", "name": "web" });
    world.targets["us"].put(
        IMPORTS,
        json!({ "metadata": metadata, "spec": { "type": "Headless", "ports": [] } }),
    );
    world.export("web");
    until("told", || {
        world.condition("web", "Conflict") == ("True".into(), "NameTaken".into())
    })
    .await;
    until("imported elsewhere", || is_imported(&world.targets["eu"])).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(
        world.targets["us"].get(IMPORTS, "shop", "web").unwrap()["spec"]["type"],
        "Headless"
    );
    let told = world.source.events();
    assert_eq!(
        told.iter().filter(|reason| *reason == "CopyNameTaken").count(),
        1,
        "{told:?}"
    );
    world.targets["us"].remove(IMPORTS, "shop", "web");
    until("imported", || is_imported(&world.targets["us"])).await;
    until("told", || {
        world.condition("web", "Conflict") == ("False".into(), "NoConflicts".into())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_targets_of_one_cluster_are_one_cluster_and_so_is_one_that_is_the_source() {
    let us = empty_cluster("source-user", "us");
    let source = empty_cluster("admin", "source-cluster");
    let own = source.clone();
    let world = World::start_from(source, [("us", us.clone()), ("us2", us), ("own", own)].into()).await;
    world.service("web", json!({ "app": "web" }));
    world.run("a", "us", "10.1.0.1");
    world.run("b", "us2", "10.1.0.2");
    world.run("c", "own", "10.0.0.1");
    world.export("web");
    for cluster in [&world.source, &world.targets["us"]] {
        until("all pods", || {
            addresses(cluster) == ["10.0.0.1", "10.1.0.1", "10.1.0.2"]
        })
        .await;
        let status = || cluster.get(IMPORTS, "shop", "web").unwrap()["status"]["clusters"].clone();
        let expected = json!([{ "cluster": node("us") }, { "cluster": SOURCE }]);
        until("two clusters", || status() == expected).await;
        // One import each, and one writer.
        assert_eq!(cluster.count(&Method::DELETE, SLICES), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_agent_has_left_is_found_and_what_it_knew_is_not_lost() {
    let world = shop().await;
    world.export("web");
    for cluster in world.clusters() {
        until("all pods", || addresses(cluster).len() == 2).await;
    }
    let written: Vec<_> = world.clusters().map(Fake::version).into();
    until("told", || world.condition("web", "Ready").0 == "True").await;
    let (source, targets) = (world.source.clone(), world.targets.clone());
    drop(world);
    // One that finds everything in step changes nothing there.
    let world = World::start_from(source.clone(), targets.clone()).await;
    throughout(Duration::from_secs(30), "in step", || {
        let now: Vec<_> = world.clusters().map(Fake::version).into();
        now[1..] == written[1..]
    })
    .await;
    drop(world);
    source.remove("serviceexports", "shop", "web");
    let world = World::start_from(source, targets).await;
    for cluster in world.clusters() {
        until("taken back", || is_bare(cluster)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_exported_nothing_is_written() {
    let world = shop().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.clusters().iter().all(|cluster| is_bare(cluster)));
    assert!(
        world
            .home
            .imports
            .exports
            .get(&Key::from(("shop".to_owned(), "web".to_owned())))
            .is_none()
    );
}
