//! What nothing needs goes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_copy_goes_some_time_after_the_last_pod_and_stays_when_one_comes_back() {
    let world = World::start(&["eu"]).await;
    world.config_map("settings", "one");
    world.pod("web-0", &["settings"], &[]);
    world.send("web-0", "eu");
    until("it is there", || world.may_start("web-0", "eu")).await;
    let uid = |world: &World| {
        world.targets["eu"]
            .get("configmaps", "shop", "settings")
            .map(|copy| copy["metadata"]["uid"].clone())
    };
    let before = uid(&world);
    world.delete("web-0", "eu");
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.pod("web-1", &["settings"], &[]);
    world.send("web-1", "eu");
    throughout(Duration::from_secs(30), "it is the same one", || uid(&world) == before).await;
    world.delete("web-1", "eu");
    throughout(Duration::from_secs(4), "it stays for a while", || uid(&world) == before).await;
    until("it goes", || uid(&world).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_in_the_source_goes_at_once() {
    let world = World::start(&["eu"]).await;
    world.config_map("settings", "one");
    world.pod("web-0", &["settings"], &[]);
    world.send("web-0", "eu");
    until("it is there", || world.may_start("web-0", "eu")).await;
    world.source.remove("configmaps", "shop", "settings");
    let began = tokio::time::Instant::now();
    until("it goes", || world.text("eu", "settings").is_none()).await;
    assert!(began.elapsed() < Duration::from_secs(2));
}

/// A copy that an earlier process has left.
fn left_behind(name: &str, world: &World) {
    world.targets["eu"].put(
        "configmaps",
        json!({
            "metadata": {
                "namespace": "shop", "name": name,
                "labels": { names::PARENT_CLUSTER_NAME: SOURCE, names::PARENT_UID: "u" },
                "annotations": { names::SOURCE_USER: "source-user", names::DIGEST: "d" },
            },
        }),
    );
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_left_goes_when_all_is_known_and_not_before() {
    let eu = empty_cluster("source-user", "eu");
    let world = World::start_with(BTreeMap::from([("eu", eu)])).await;
    left_behind("old", &world);
    until("it goes", || world.text_or_there("eu", "old").is_none()).await;

    let world = World::start_slow().await;
    left_behind("old", &world);
    throughout(
        Duration::from_secs(60),
        "it stays while ConfigMaps are not known",
        || world.text_or_there("eu", "old").is_some(),
    )
    .await;
    world.source.lift("slow");
    until("it goes", || world.text_or_there("eu", "old").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_like_ours_stays() {
    let world = World::start(&["eu"]).await;
    for (name, label, annotation) in [
        ("of-another-source", "another", "source-user"),
        ("of-another-user", SOURCE, "somebody"),
    ] {
        world.targets["eu"].put(
            "configmaps",
            json!({ "metadata": {
                "namespace": "shop", "name": name,
                "labels": { names::PARENT_CLUSTER_NAME: label, names::PARENT_UID: "u" },
                "annotations": { names::SOURCE_USER: annotation, names::DIGEST: "d" },
            }}),
        );
    }
    world.targets["eu"].put(
        "configmaps",
        json!({ "metadata": { "namespace": "shop", "name": "label-only", "labels": { names::PARENT_CLUSTER_NAME: SOURCE } } }),
    );
    throughout(Duration::from_secs(120), "they stay", || {
        ["of-another-source", "of-another-user", "label-only"]
            .iter()
            .all(|name| world.text_or_there("eu", name).is_some())
    })
    .await;
}

impl World {
    fn text_or_there(&self, target: &'static str, name: &str) -> Option<Value> {
        self.targets[target].get("configmaps", "shop", name)
    }

    /// The source does not list its ConfigMaps.
    async fn start_slow() -> Self {
        let targets = BTreeMap::from([("eu", empty_cluster("source-user", "eu"))]);
        let source = empty_cluster("admin", "source-cluster");
        source.rule("slow", |_, path| {
            (path.plural == "configmaps").then_some((500, json!({ "code": 500 })))
        });
        Self::start_from(source, targets).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_to_stay_is_taken_back_and_nobody_waits_for_it() {
    let world = World::start(&["eu"]).await;
    world.config_map("settings", "one");
    world.pod("web-0", &["settings"], &[]);
    world.send("web-0", "eu");
    until("it is there", || world.may_start("web-0", "eu")).await;
    let mut settings = world.source.get("configmaps", "shop", "settings").unwrap();
    settings["metadata"]["annotations"] = json!({ names::FOLLOW: "false" });
    world.source.put("configmaps", settings);
    until("it goes", || world.text("eu", "settings").is_none()).await;
    // The target's own.
    let own = json!({ "metadata": { "namespace": "shop", "name": "settings" }, "data": { "text": "theirs" } });
    world.targets["eu"].put("configmaps", own);
    world.pod("web-1", &["settings"], &[]);
    world.send("web-1", "eu");
    until("its delegate starts with it", || world.may_start("web-1", "eu")).await;
    assert_eq!(world.text("eu", "settings").as_deref(), Some("theirs"));
    assert_eq!(world.source.events(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_may_read_no_secrets_looks_after_all_else() {
    let source = empty_cluster("admin", "source-cluster");
    source.rule("no Secrets", |_, path| {
        (path.plural == "secrets").then(|| crate::fake::failure(403, "Forbidden", "no", "secrets", ""))
    });
    let targets = BTreeMap::from([("eu", empty_cluster("source-user", "eu"))]);
    let world = World::start_from(source, targets).await;
    world.config_map("settings", "one");
    world.service("web", json!({ "app": "web" }));
    world.pod("web-0", &["settings"], &[]);
    world.send("web-0", "eu");
    until("its file is there", || world.may_start("web-0", "eu")).await;
    let rewritten = json!({ format!("{}app", names::PREFIX): "web" });
    let selector = || {
        world
            .source
            .get("services", "shop", "web")
            .map(|service| service["spec"]["selector"].clone())
    };
    until("its Service selects it", || selector().as_ref() == Some(&rewritten)).await;
    world.delete("web-0", "eu");
    until("its file goes", || world.text("eu", "settings").is_none()).await;
}
