//! What follows pods, and what becomes of it at the end.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt};
use multicluster_api::names;
use serde_json::json;
use testbed::{Cluster, eventually};

use crate::fixtures::Template;
use crate::world::{SOON, World};

/// Kinds that are looked at.
const KINDS: &str = "configmaps,secrets,services,ingresses";
/// Names of all copies.
const ALL: [&str; 4] = [
    "configmap/settings",
    "secret/password",
    "service/web",
    "ingress.networking.k8s.io/web",
];

/// A template of pods that use a ConfigMap and a Secret.
pub fn using(template: Template) -> Template {
    let volumes = json!([
        { "name": "settings", "configMap": { "name": "settings" } },
        { "name": "password", "secret": { "secretName": "password" } },
    ]);
    template.spec("volumes", volumes)
}

/// These, and a Service and an Ingress for the Deployment `web`. In us somebody has an object with our label on it.
pub async fn apply(world: &World, ns: &str) -> Result<()> {
    let metadata = |name: &str| json!({ "name": name, "namespace": ns });
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    for object in [
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("settings"), "data": { "a": "b" } }),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata("password"), "stringData": { "a": "b" } }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata("web"),
            "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata("web"),
            "spec": { "defaultBackend": backend },
        }),
    ] {
        world.apply(&object).await?;
    }
    let decoy = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "decoy", "namespace": ns,
            "labels": { names::PARENT_CLUSTER_NAME: "source", names::PARENT_UID: "1" },
        },
    });
    world.target("us").apply_yaml(&decoy.to_string()).await
}

/// What looks like a copy in a cluster.
async fn marked(cluster: &Cluster, ns: &str) -> Result<BTreeSet<String>> {
    let ours = format!("{}=source", names::PARENT_CLUSTER_NAME);
    let found = cluster
        .kubectl(&["get", KINDS, "-n", ns, "-l", &ours, "-o", "name"])
        .await?;
    let found = found.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    Ok(found.into_iter().filter(|name| name != "configmap/decoy").collect())
}

/// Wait until all of it is in each target that has pods which use it. The scheduler chose, and most often both have.
pub async fn arrived(world: &World, ns: &str) -> Result<()> {
    let mut somewhere = false;
    for target in ["us", "eu"] {
        let delegates = world.delegates(target, ns).await?;
        let of_web = |pod: &Pod| pod.annotations()[names::PARENT_NAME].starts_with("web-");
        if !delegates.iter().any(of_web) {
            continue;
        }
        somewhere = true;
        eventually(&format!("what follows pods to be in {target}"), SOON, async || {
            let found = marked(world.target(target), ns).await?;
            ensure!(found == ALL.map(str::to_owned).into(), "{found:?}");
            Ok(Some(()))
        })
        .await?;
    }
    ensure!(somewhere, "no target has pods");
    Ok(())
}

/// Nothing of it is in a target; what only has our label is.
pub async fn gone(world: &World, target: &str, ns: &str) -> Result<()> {
    let left = marked(world.target(target), ns).await?;
    ensure!(left.is_empty(), "left in {target}: {left:?}");
    if target == "us" {
        let decoy = ["get", "configmap", "-n", ns, "decoy"];
        world.target("us").kubectl(&decoy).await?;
    }
    Ok(())
}

/// The Service in the source speaks of delegates, or is as its user wrote it.
pub async fn speaks_of_delegates(world: &World, ns: &str, expected: bool) -> Result<()> {
    let services = Api::<Service>::namespaced(world.source().client(), ns);
    eventually("the selector of the source's Service", SOON, async || {
        let service = services.get("web").await?;
        let ours = service
            .annotations()
            .keys()
            .any(|key| names::is_ours(key) || key == names::CILIUM_GLOBAL);
        let selector = service.spec.clone().and_then(|spec| spec.selector).unwrap_or_default();
        let plain = selector.get("app").map(String::as_str) == Some("web") && selector.len() == 1;
        ensure!(
            (ours, plain) == (expected, !expected),
            "{selector:?} {:?}",
            service.annotations()
        );
        Ok(Some(()))
    })
    .await
}
