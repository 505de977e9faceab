//! A delegate starts when its files are there.

use http::Method;

use super::*;
use crate::fake::failure;

#[tokio::test(start_paused = true)]
async fn a_delegate_starts_after_its_config_map_is_there() {
    let world = World::start(&["eu", "us"]).await;
    world.config_map("settings", "one");
    world.pod("web-0", &["settings"], &[]);
    world.send("web-0", "eu");
    until("the gate is open", || {
        let open = world.may_start("web-0", "eu");
        assert!(
            !open || world.text("eu", "settings").is_some(),
            "the file is there first"
        );
        open
    })
    .await;
    assert_eq!(world.text("eu", "settings").as_deref(), Some("one"));
    assert_eq!(world.annotation("web-0", "eu", names::FILES_REFUSED), None);
    assert_eq!(world.text("us", "settings"), None, "only where the pod is");
}

#[tokio::test(start_paused = true)]
async fn many_pods_of_one_config_map_cost_one_write() {
    let world = World::start(&["eu"]).await;
    world.config_map("settings", "one");
    let pods: Vec<_> = (0..50).map(|number| format!("web-{number}")).collect();
    for pod in &pods {
        world.pod(pod, &["settings"], &[]);
        world.send(pod, "eu");
    }
    until("all gates are open", || {
        pods.iter().all(|pod| world.may_start(pod, "eu"))
    })
    .await;
    assert_eq!(
        world
            .home
            .metrics
            .copies_written
            .get_or_create(&written("create"))
            .get(),
        1
    );
    assert_eq!(world.source.count(&Method::GET, "configmaps"), 1);
}

fn written(verb: &'static str) -> crate::metrics::CopyLabels {
    crate::metrics::CopyLabels {
        kind: "configmaps",
        verb,
    }
}

#[tokio::test(start_paused = true)]
async fn one_question_to_the_source_serves_all_targets() {
    let world = World::start(&["a", "b", "c", "d"]).await;
    world.config_map("settings", "one");
    for target in world.targets.keys() {
        let pod = format!("web-{target}");
        world.pod(&pod, &["settings"], &[]);
        world.send(&pod, target);
    }
    until("all have it", || {
        world
            .targets
            .keys()
            .all(|target| world.text(target, "settings").is_some())
    })
    .await;
    assert_eq!(world.source.count(&Method::GET, "configmaps"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_holds_nobody_up() {
    let world = World::start(&["eu"]).await;
    world.pod("web-0", &["nowhere"], &["neither"]);
    world.send("web-0", "eu");
    until("the gate is open", || world.may_start("web-0", "eu")).await;
}

#[tokio::test(start_paused = true)]
async fn a_chaperon_may_be_known_before_its_pod() {
    let world = World::start(&["eu"]).await;
    world.config_map("settings", "one");
    world.send("web-0", "eu");
    world.pod("web-0", &["settings"], &[]);
    until("the gate is open", || world.may_start("web-0", "eu")).await;
    assert!(world.text("eu", "settings").is_some());
}

/// Each of these lets a target take no ConfigMap, for this reason.
#[tokio::test(start_paused = true)]
async fn what_a_target_does_not_take_is_said_on_the_chaperon_and_on_the_object() {
    for (reason, answer) in [
        (
            "CopyQuotaExceeded",
            failure(403, "Forbidden", "exceeded quota: q", "configmaps", "settings"),
        ),
        (
            "CopyForbidden",
            failure(403, "Forbidden", "cannot create", "configmaps", "settings"),
        ),
        (
            "CopyNamespaceMissing",
            failure(404, "NotFound", "not found", "namespaces", "shop"),
        ),
        (
            "CopyInvalid",
            failure(400, "BadRequest", "denied by a webhook", "configmaps", "settings"),
        ),
    ] {
        let world = World::start(&["eu", "us"]).await;
        world.targets["eu"].rule("no", move |method, path| {
            (method == Method::POST && path.plural == "configmaps").then(|| answer.clone())
        });
        world.config_map("settings", "one");
        world.config_map("other", "two");
        world.pod("web-0", &["settings"], &[]);
        world.send("web-0", "eu");
        until(reason, || {
            world.annotation("web-0", "eu", names::FILES_REFUSED).is_some()
        })
        .await;
        let said = world.annotation("web-0", "eu", names::FILES_REFUSED).unwrap();
        assert!(said.starts_with(reason) && said.chars().count() <= 512, "{said}");
        assert!(!world.may_start("web-0", "eu"), "it never starts without");
        until("an event", || world.source.events().contains(&reason.to_owned())).await;
        // It lasts, and is told once.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let told = world.source.events().iter().filter(|seen| *seen == reason).count();
        assert_eq!(told, 1, "{reason}");
        // All others go on.
        world.pod("web-1", &["settings"], &[]);
        world.send("web-1", "us");
        until("elsewhere", || world.may_start("web-1", "us")).await;
        // And so does this one when the reason is gone.
        world.targets["eu"].lift("no");
        until("it comes", || world.text("eu", "settings").is_some()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_in_the_target_is_left_alone() {
    let world = World::start(&["eu"]).await;
    world.targets["eu"].put(
        "configmaps",
        json!({ "metadata": { "namespace": "shop", "name": "settings" }, "data": { "text": "theirs" } }),
    );
    world.config_map("settings", "ours");
    world.pod("web-0", &["settings"], &[]);
    world.send("web-0", "eu");
    until("it is refused", || {
        world.annotation("web-0", "eu", names::FILES_REFUSED).is_some()
    })
    .await;
    until("an event", || {
        world.source.events().contains(&"CopyNameTaken".to_owned())
    })
    .await;
    world.config_map("settings", "ours again");
    world.delete("web-0", "eu");
    let theirs = || world.text("eu", "settings").as_deref() == Some("theirs");
    throughout(Duration::from_secs(60), "it is theirs", theirs).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_holds_up_no_other() {
    let world = World::start(&["eu", "us"]).await;
    world.targets["eu"].rule("hangs", |method, path| {
        (method == Method::POST && path.plural == "configmaps").then_some((0, Value::Null))
    });
    world.config_map("settings", "one");
    for (pod, target) in [("web-0", "eu"), ("web-1", "us")] {
        world.pod(pod, &["settings"], &[]);
        world.send(pod, target);
    }
    let began = tokio::time::Instant::now();
    until("the other one has it", || world.may_start("web-1", "us")).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(!world.may_start("web-0", "eu") && world.annotation("web-0", "eu", names::FILES_REFUSED).is_none());
    world.targets["eu"].lift("hangs");
    until("it comes to itself", || world.may_start("web-0", "eu")).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_the_source_has_all_files() {
    let mut targets = BTreeMap::from([("eu", empty_cluster("source-user", "source-cluster"))]);
    targets.insert("us", empty_cluster("source-user", "us"));
    let world = World::start_with(targets).await;
    world.config_map("settings", "one");
    world.pod("web-0", &["settings"], &[]);
    world.send("web-0", "eu");
    until("the gate is open", || world.may_start("web-0", "eu")).await;
    assert_eq!(world.text("eu", "settings"), None, "nothing is copied");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_service_accounts_stay_at_home_and_hold_nobody_up() {
    let world = World::start(&["eu"]).await;
    world.source.put(
        "secrets",
        json!({
            "metadata": { "namespace": "shop", "name": "token" }, "type": "kubernetes.io/service-account-token",
        }),
    );
    world.pod("web-0", &[], &["token"]);
    world.send("web-0", "eu");
    until("the gate is open", || world.may_start("web-0", "eu")).await;
    assert!(world.targets["eu"].get("secrets", "shop", "token").is_none());
    until("an event", || {
        world.source.events().contains(&"SecretOfItsCluster".to_owned())
    })
    .await;
}
