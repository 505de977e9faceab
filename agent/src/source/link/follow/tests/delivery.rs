//! Copies are kept in step.

use http::Method;

use super::*;
use crate::fake::failure;

async fn delivered() -> World {
    let world = World::start(&["eu"]).await;
    world.config_map("settings", "one");
    world.pod("web-0", &["settings"], &[]);
    world.send("web-0", "eu");
    until("it is there", || world.may_start("web-0", "eu")).await;
    world
}

#[tokio::test(start_paused = true)]
async fn an_update_follows_with_one_write_and_what_the_target_added_stays() {
    let world = delivered().await;
    world.targets["eu"].edit("configmaps", "shop", "settings", |copy| {
        copy["metadata"]["annotations"]["theirs"] = json!("1");
    });
    throughout(Duration::from_secs(5), "nobody minds", || {
        world.text("eu", "settings").as_deref() == Some("one")
    })
    .await;
    let before = world.targets["eu"].count(&Method::PATCH, "configmaps");
    world.config_map("settings", "two");
    until("the update", || world.text("eu", "settings").as_deref() == Some("two")).await;
    assert_eq!(world.targets["eu"].count(&Method::PATCH, "configmaps"), before + 1);
    let copy = world.targets["eu"].get("configmaps", "shop", "settings").unwrap();
    assert_eq!(copy["metadata"]["annotations"]["theirs"], "1");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changes_or_deletes_there_is_put_back() {
    let world = delivered().await;
    world.targets["eu"].edit("configmaps", "shop", "settings", |copy| {
        copy["data"]["text"] = json!("theirs")
    });
    until("it is put back", || {
        world.text("eu", "settings").as_deref() == Some("one")
    })
    .await;
    world.targets["eu"].remove("configmaps", "shop", "settings");
    until("it is made anew", || {
        world.text("eu", "settings").as_deref() == Some("one")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_immutable_object_that_was_made_anew_is_replaced() {
    let world = delivered().await;
    let uid = |world: &World| {
        let copy = world.targets["eu"].get("configmaps", "shop", "settings")?;
        copy["metadata"]["uid"].as_str().map(str::to_owned)
    };
    let before = uid(&world);
    world.targets["eu"].rule("immutable", |method, path| {
        let message = "data: Forbidden: field is immutable when `immutable` is set";
        (method == Method::PATCH && path.plural == "configmaps")
            .then(|| failure(422, "Invalid", message, "configmaps", "settings"))
    });
    world.source.remove("configmaps", "shop", "settings");
    world.config_map("settings", "two");
    until("it is replaced", || {
        world.text("eu", "settings").as_deref() == Some("two")
    })
    .await;
    assert_ne!(uid(&world), before);
}

#[tokio::test(start_paused = true)]
async fn an_update_meanwhile_arrives_when_the_target_is_back() {
    let world = delivered().await;
    world.targets["eu"].rule("away", |method, path| {
        (method == Method::PATCH && path.plural == "configmaps").then(|| failure(503, "ServiceUnavailable", "", "", ""))
    });
    world.config_map("settings", "two");
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.config_map("settings", "three");
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.targets["eu"].lift("away");
    until("it arrives", || {
        world.text("eu", "settings").as_deref() == Some("three")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_else_travels() {
    let world = delivered().await;
    for number in 0..100 {
        world.config_map(&format!("other-{number}"), "x");
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!((0..100).all(|number| world.text("eu", &format!("other-{number}")).is_none()));
    assert_eq!(world.source.count(&Method::GET, "configmaps"), 1, "nor is it read");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_target_does_not_know_is_told_and_comes_later() {
    let mut targets = BTreeMap::new();
    let eu = empty_cluster("source-user", "eu");
    eu.rule("no HTTPRoutes", |_, path| {
        (path.plural == "httproutes").then(|| failure(404, "", "404 page not found", "", ""))
    });
    targets.insert("eu", eu);
    let world = World::start_with(targets).await;
    world.service("web", json!({ "app": "web" }));
    let backend = json!([{ "backendRefs": [{ "name": "web", "port": 80 }] }]);
    world.source.put(
        "httproutes",
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "namespace": "shop", "name": "web" }, "spec": { "rules": backend },
        }),
    );
    world.pod("web-0", &[], &[]);
    world.send("web-0", "eu");
    until("an event", || {
        world.source.events().contains(&"CopyDefinitionMissing".to_owned())
    })
    .await;
    until("the rest goes on", || {
        world.targets["eu"].get("services", "shop", "web").is_some()
    })
    .await;
    world.targets["eu"].lift("no HTTPRoutes");
    until("it comes", || {
        world.targets["eu"].get("httproutes", "shop", "web").is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_two_targets_that_are_one_cluster_one_writes_and_both_may_start() {
    let one = empty_cluster("source-user", "same");
    let other = one.taking_us_for("another-user");
    let world = World::start_with(BTreeMap::from([("a", one), ("b", other)])).await;
    world.config_map("settings", "one");
    for (pod, target) in [("web-0", "a"), ("web-1", "b")] {
        world.pod(pod, &["settings"], &[]);
        world.send(pod, target);
    }
    until("both may start", || {
        world.may_start("web-0", "a") && world.may_start("web-1", "b")
    })
    .await;
    let written = crate::metrics::CopyLabels {
        kind: "configmaps",
        verb: "create",
    };
    assert_eq!(world.home.metrics.copies_written.get_or_create(&written).get(), 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        world.source.events(),
        Vec::<String>::new(),
        "it is not taken for somebody else's"
    );
    // One of them needs it no more, the other does.
    world.delete("web-0", "a");
    throughout(Duration::from_secs(60), "it stays", || {
        world.text("b", "settings").is_some()
    })
    .await;
    world.delete("web-1", "b");
    until("it goes", || world.text("b", "settings").is_none()).await;
}
