//! ConfigMaps and Secrets follow the pods that use them, and are what they are in the source.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use multicluster_api::names;
use serde_json::{Value, json};

use super::harness::{Test, alone, test};
use super::objects::{ConfigMap, Kind, Secret, annotation, entry, label, list};
use super::web::only_in;
use super::world::World;

/// How late an update may be.
const UPDATE: Duration = Duration::from_secs(2);

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

/// An update is there in time; what others have added to the copy stays, what is removed in the source goes.
async fn updates(world: &World) -> Result<()> {
    let ns = world.namespace("updates").await?;
    let mut original = config_map(ns, "mine", "one");
    original["metadata"]["labels"] = json!({ "kept": "one", "dropped": "one" });
    original["metadata"]["annotations"] = json!({ "kept": "one" });
    for object in [original, secret(ns, "mine", "one")] {
        world.apply(&object).await?;
    }
    let volumes = json!([
        { "name": "a", "configMap": { "name": "mine" } },
        { "name": "b", "secret": { "secretName": "mine" } },
    ]);
    for target in ["us", "eu"] {
        let template = only_in(target).spec("volumes", volumes.clone());
        world.apply(&template.deployment(ns, target, 1)).await?;
    }
    world.running(ns, 2).await?;
    let theirs = json!({ "metadata": { "annotations": { "theirs": "yes" }, "finalizers": ["example.com/theirs"] } });
    world.patch("us", ConfigMap, ns, "mine", theirs).await?;

    let change = json!({
        "metadata": { "labels": { "kept": "two", "dropped": null } }, "data": { "key": "two", "more": "two" },
    });
    let start = Instant::now();
    world.patch("source", ConfigMap, ns, "mine", change).await?;
    let changed = |copy: &Value| {
        copy["data"] == json!({ "key": "two", "more": "two" })
            && label(copy, "kept") == Some("two")
            && label(copy, "dropped").is_none()
    };
    for target in ["us", "eu"] {
        let took = world
            .becomes_since(start, (target, ConfigMap, ns, "mine"), changed)
            .await?;
        ensure!(took < UPDATE, "an update took {took:?} to {target}");
    }
    let copy = world.find("us", ConfigMap, ns, "mine").await?.unwrap();
    ensure!(annotation(&copy, "theirs") == Some("yes"), "{copy:#}");
    ensure!(
        copy["metadata"]["finalizers"] == json!(["example.com/theirs"]),
        "{copy:#}"
    );
    world
        .patch(
            "us",
            ConfigMap,
            ns,
            "mine",
            json!({ "metadata": { "finalizers": null } }),
        )
        .await?;

    let start = Instant::now();
    world
        .patch("source", Secret, ns, "mine", json!({ "stringData": { "key": "two" } }))
        .await?;
    let changed = |copy: &Value| entry(copy, "key").as_deref() == Some("two");
    for target in ["us", "eu"] {
        let took = world
            .becomes_since(start, (target, Secret, ns, "mine"), changed)
            .await?;
        ensure!(took < UPDATE, "an update took {took:?} to {target}");
    }
    Ok(())
}

/// What is immutable is deleted and made anew by its user, and by us.
async fn immutable(world: &World) -> Result<()> {
    let ns = world.namespace("immutable").await?;
    let fixed = |mut object: Value| {
        object["immutable"] = json!(true);
        object
    };
    world.apply(&fixed(config_map(ns, "mine", "one"))).await?;
    world.apply(&fixed(secret(ns, "mine", "one"))).await?;
    let volumes = json!([
        { "name": "a", "configMap": { "name": "mine" } },
        { "name": "b", "secret": { "secretName": "mine" } },
    ]);
    world
        .apply(&only_in("us").spec("volumes", volumes).deployment(ns, "web", 1))
        .await?;
    world.running(ns, 1).await?;
    for (kind, object) in [
        (ConfigMap, fixed(config_map(ns, "mine", "two"))),
        (Secret, fixed(secret(ns, "mine", "two"))),
    ] {
        world.remove("source", kind, ns, "mine").await?;
        world.apply(&object).await?;
        let start = Instant::now();
        let changed = |copy: &Value| entry(copy, "key").as_deref() == Some("two") && copy["immutable"] == json!(true);
        let took = world.becomes_since(start, ("us", kind, ns, "mine"), changed).await?;
        ensure!(took < 2 * UPDATE, "{kind:?}: it took {took:?}");
    }
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

/// Somebody in the target changes a copy, or deletes it.
async fn put_back(world: &World) -> Result<()> {
    let ns = world.namespace("put-back").await?;
    world.apply(&config_map(ns, "mine", "one")).await?;
    world.apply(&secret(ns, "mine", "one")).await?;
    let volumes = json!([
        { "name": "a", "configMap": { "name": "mine" } },
        { "name": "b", "secret": { "secretName": "mine" } },
    ]);
    world
        .apply(&only_in("us").spec("volumes", volumes).deployment(ns, "web", 1))
        .await?;
    world.running(ns, 1).await?;
    for kind in [ConfigMap, Secret] {
        put_back_kind(world, ns, kind).await?;
    }
    Ok(())
}

async fn put_back_kind(world: &World, ns: &str, kind: Kind) -> Result<()> {
    let whole = |copy: &Value| entry(copy, "key").as_deref() == Some("one") && copy["data"]["theirs"].is_null();
    let theirs = json!({ "data": { "key": "dGhlaXJz", "theirs": "dGhlaXJz" } });
    world.patch("us", kind, ns, "mine", theirs).await?;
    world.becomes("us", kind, ns, "mine", whole).await?;
    world.remove("us", kind, ns, "mine").await?;
    world.becomes("us", kind, ns, "mine", whole).await?;
    // Without our label it is theirs, and they have been asked about it.
    let taken = json!({ "metadata": { "labels": { names::PARENT_CLUSTER_NAME: null } } });
    world.patch("us", kind, ns, "mine", taken).await?;
    world.warned(ns, &format!("{kind:?}"), "mine", &["us"]).await?;
    let left = world.find("us", kind, ns, "mine").await?.unwrap_or_default();
    ensure!(label(&left, names::PARENT_CLUSTER_NAME).is_none(), "{left:#}");
    Ok(())
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
        // Others' work must not slow down what is timed.
        alone("an_update_of_a_file_follows_within_two_seconds", async |world| {
            updates(&world).await
        }),
        alone("an_immutable_file_is_made_anew", async |world| immutable(&world).await),
        test("a_file_goes_when_nothing_uses_it", async |world| unused(&world).await),
        test("a_rollout_changes_files", async |world| rollout(&world).await),
        test("a_file_that_is_changed_in_a_target_is_put_back", async |world| {
            put_back(&world).await
        }),
        test("files_are_of_their_namespace", async |world| namespaces(&world).await),
    ]
}
