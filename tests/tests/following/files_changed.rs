//! Files that change: in the source, by their users; in a target, by somebody there.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use multicluster_api::names;
use serde_json::{Value, json};

use super::files::{config_map, secret};
use super::harness::{alone, test};
use super::objects::{ConfigMap, Kind, Secret, annotation, entry, label};
use super::web::only_in;
use super::world::{Test, World};

/// How late an update may be.
const UPDATE: Duration = Duration::from_secs(2);

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

/// A pod in one target that uses the ConfigMap and the Secret that are called `mine`.
async fn use_both(world: &World, ns: &str) -> Result<()> {
    let volumes = json!([
        { "name": "a", "configMap": { "name": "mine" } },
        { "name": "b", "secret": { "secretName": "mine" } },
    ]);
    world
        .apply(&only_in("us").spec("volumes", volumes).deployment(ns, "web", 1))
        .await?;
    world.running(ns, 1).await.map(drop)
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
    use_both(world, ns).await?;
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

/// Somebody in the target changes a copy, or deletes it.
async fn put_back(world: &World) -> Result<()> {
    let ns = world.namespace("put-back").await?;
    world.apply(&config_map(ns, "mine", "one")).await?;
    world.apply(&secret(ns, "mine", "one")).await?;
    use_both(world, ns).await?;
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

pub fn tests() -> Vec<Test> {
    vec![
        // Others' work must not slow down what is timed.
        alone("an_update_of_a_file_follows_within_two_seconds", async |world| {
            updates(&world).await
        }),
        alone("an_immutable_file_is_made_anew", async |world| immutable(&world).await),
        test("a_file_that_is_changed_in_a_target_is_put_back", async |world| {
            put_back(&world).await
        }),
    ]
}
