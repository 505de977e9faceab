//! ConfigMaps and Secrets follow the pods that use them, and are what they are in the source.

use anyhow::{Result, ensure};
use multicluster_api::names;
use serde_json::{Value, json};

use super::harness::test;
use super::objects::{ConfigMap, Secret, entry, label, list};
use super::web::only_in;
use super::world::{Test, World};

/// A ConfigMap with one entry, `key`.
pub fn config_map(ns: &str, name: &str, value: &str) -> Value {
    ConfigMap.object(ns, name, json!({ "data": { "key": value } }))
}

/// A Secret with one entry, `key`.
pub fn secret(ns: &str, name: &str, value: &str) -> Value {
    Secret.object(ns, name, json!({ "stringData": { "key": value } }))
}

/// A pod template for one target, that mounts a ConfigMap.
pub fn mounting(target: &str, config_map: &str) -> super::fixtures::Template {
    only_in(target).spec(
        "volumes",
        json!([{ "name": "files", "configMap": { "name": config_map } }]),
    )
}

/// Each way in which a pod may use a file, with a file for each.
fn every_way() -> super::fixtures::Template {
    let from = |kind: &str, name: &str| json!({ kind: { "name": name, "key": "key" } });
    let projected = json!([
        { "configMap": { "name": "projected" } },
        { "secret": { "name": "projected" } },
        { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
    ]);
    let volumes = json!([
        { "name": "a", "configMap": { "name": "volume" } },
        { "name": "b", "secret": { "secretName": "volume" } },
        { "name": "c", "projected": { "sources": projected } },
        { "name": "d", "configMap": { "name": "optional", "optional": true } },
        { "name": "e", "secret": { "secretName": "optional-missing", "optional": true } },
        { "name": "f", "csi": { "driver": "example.com", "nodePublishSecretRef": { "name": "csi" } } },
    ]);
    let container = |name: &str, env: Value, env_from: Value| {
        json!({
            "name": name, "image": "none", "env": env, "envFrom": env_from,
            "resources": { "requests": { "cpu": "10m" } },
        })
    };
    let main = container(
        "main",
        json!([
            { "name": "A", "valueFrom": from("configMapKeyRef", "env") },
            { "name": "B", "valueFrom": from("secretKeyRef", "env") },
        ]),
        json!([{ "configMapRef": { "name": "env-from" } }, { "secretRef": { "name": "env-from" } }]),
    );
    let init = container("init", json!([]), json!([{ "configMapRef": { "name": "init" } }]));
    only_in("us")
        .spec("volumes", volumes)
        .spec("containers", json!([main]))
        .spec("initContainers", json!([init]))
        .spec("imagePullSecrets", json!([{ "name": "pull" }]))
}

const CONFIG_MAPS: [&str; 6] = ["volume", "projected", "optional", "env", "env-from", "init"];
const SECRETS: [&str; 6] = ["volume", "projected", "env", "env-from", "pull", "csi"];

async fn every_way_of_use(world: &World) -> Result<()> {
    let ns = world.namespace("files").await?;
    let mut all: Vec<_> = CONFIG_MAPS.iter().map(|name| config_map(ns, name, name)).collect();
    let opaque = SECRETS.iter().filter(|name| **name != "pull");
    all.extend(opaque.map(|name| secret(ns, name, name)));
    all.extend([config_map(ns, "unused", ""), secret(ns, "unused", "")]);
    let registry =
        json!({ "type": "kubernetes.io/dockerconfigjson", "stringData": { ".dockerconfigjson": "{\"auths\":{}}" } });
    all.push(Secret.object(ns, "pull", registry));
    for object in all {
        world.apply(&object).await?;
    }
    world.apply(&every_way().pod(ns, "one")).await?;
    world.running(ns, 1).await?;

    // They are there already: no pod begins without them.
    for (kind, used) in [(ConfigMap, CONFIG_MAPS), (Secret, SECRETS)] {
        for name in used {
            let original = world.find("source", kind, ns, name).await?.unwrap();
            let copy = world.find("us", kind, ns, name).await?;
            let Some(copy) = copy else {
                anyhow::bail!("{kind:?} {name} is not there");
            };
            ensure!(
                copy["data"] == original["data"] && copy["type"] == original["type"],
                "{copy:#}"
            );
            ensure!(label(&copy, names::PARENT_CLUSTER_NAME) == Some("source"), "{copy:#}");
            ensure!(
                label(&copy, names::PARENT_UID) == original["metadata"]["uid"].as_str(),
                "{copy:#}"
            );
            // In the source, nothing is written to them.
            let metadata = &original["metadata"];
            ensure!(
                metadata["finalizers"].is_null() && metadata["labels"].is_null(),
                "{metadata:#}"
            );
        }
    }
    only_these_travelled(world, ns).await
}

/// Nothing goes where no pod uses it.
async fn only_these_travelled(world: &World, ns: &str) -> Result<()> {
    for (kind, used) in [(ConfigMap, CONFIG_MAPS), (Secret, SECRETS)] {
        for (target, count) in [("us", used.len()), ("eu", 0)] {
            let copies = world.all(target, kind, ns, names::PARENT_CLUSTER_NAME).await?;
            let names: Vec<_> = copies.iter().map(|copy| copy["metadata"]["name"].as_str()).collect();
            ensure!(copies.len() == count, "{target} has the {kind:?}s {names:?}");
        }
    }
    let root = world.find("us", ConfigMap, ns, "kube-root-ca.crt").await?.unwrap();
    ensure!(label(&root, names::PARENT_UID).is_none(), "{root:#}");
    Ok(())
}

/// What no pod uses any more goes, here and there.
async fn unused(world: &World) -> Result<()> {
    let ns = world.namespace("unused").await?;
    world.apply(&config_map(ns, "mine", "one")).await?;
    for target in ["us", "eu"] {
        world.apply(&mounting(target, "mine").deployment(ns, target, 2)).await?;
    }
    world.running(ns, 4).await?;
    for target in ["us", "eu"] {
        world.arrives(target, ConfigMap, ns, "mine").await?;
    }
    world.scale(ns, "us", 0).await?;
    world.leaves("us", ConfigMap, ns, "mine").await?;
    world.arrives("eu", ConfigMap, ns, "mine").await?;
    // Without it in the source, there is none to have elsewhere.
    world.remove("source", ConfigMap, ns, "mine").await?;
    world.leaves("eu", ConfigMap, ns, "mine").await
}

/// A rollout that is done with another ConfigMap, as `kubectl` users do it: the old one leaves when its last pod has.
async fn rollout(world: &World) -> Result<()> {
    let ns = world.namespace("rollout").await?;
    for name in ["one", "two"] {
        world.apply(&config_map(ns, name, name)).await?;
    }
    world.apply(&mounting("us", "one").deployment(ns, "web", 3)).await?;
    world.running(ns, 3).await?;
    world.apply(&mounting("us", "two").deployment(ns, "web", 3)).await?;
    world.arrives("us", ConfigMap, ns, "two").await?;
    world.leaves("us", ConfigMap, ns, "one").await?;
    for delegate in world.delegates("us", ns).await? {
        let spec = serde_json::to_value(delegate.spec)?;
        ensure!(spec["volumes"].to_string().contains("two"), "{spec:#}");
    }
    world.running(ns, 3).await.map(drop)
}

/// Two pods of a namespace use a file; another namespace has one of the same name.
async fn namespaces(world: &World) -> Result<()> {
    let (first, second) = (
        world.namespace("first-files").await?,
        world.namespace("second-files").await?,
    );
    let both = [config_map(first, "mine", "first"), config_map(second, "mine", "second")];
    world.apply(&list(&both)).await?;
    world.apply(&mounting("us", "mine").deployment(first, "web", 2)).await?;
    world.running(first, 2).await?;
    ensure!(world.find("us", ConfigMap, second, "mine").await?.is_none());
    world
        .apply(&mounting("us", "mine").deployment(second, "web", 1))
        .await?;
    world.running(second, 1).await?;
    for (ns, value) in [(first, "first"), (second, "second")] {
        let copy = world.find("us", ConfigMap, ns, "mine").await?.unwrap_or_default();
        ensure!(entry(&copy, "key").as_deref() == Some(value), "{copy:#}");
    }
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![
        test("files_of_all_uses_are_there_before_their_pod", async |world| {
            every_way_of_use(&world).await
        }),
        test("a_file_goes_when_nothing_uses_it", async |world| unused(&world).await),
        test("a_rollout_changes_files", async |world| rollout(&world).await),
        test("files_are_of_their_namespace", async |world| namespaces(&world).await),
    ]
}
