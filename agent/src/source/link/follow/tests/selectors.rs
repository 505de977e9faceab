//! Services select delegates, in the source and in the targets.

use super::*;

fn delegate_key(key: &str) -> String {
    format!("{}{key}", names::PREFIX)
}

fn selector(fake: &Fake) -> Option<Value> {
    Some(fake.get("services", "shop", "web")?["spec"]["selector"].clone())
}

#[tokio::test(start_paused = true)]
async fn a_service_follows_its_pods_and_selects_their_delegates_everywhere() {
    let world = World::start(&["eu"]).await;
    world.service("web", json!({ "app": "web" }));
    world.pod("web-0", &[], &[]);
    world.send("web-0", "eu");
    let rewritten = json!({ delegate_key("app"): "web" });
    until("in the target", || {
        selector(&world.targets["eu"]).as_ref() == Some(&rewritten)
    })
    .await;
    until("in the source", || selector(&world.source).as_ref() == Some(&rewritten)).await;
    let copy = world.targets["eu"].get("services", "shop", "web").unwrap();
    assert!(copy["spec"]["clusterIP"].is_null(), "{copy}");
    assert_eq!(copy["metadata"]["annotations"][names::GLOBAL], "true");

    // As kubectl apply does.
    world.source.edit("services", "shop", "web", |service| {
        service["spec"]["selector"]["app"] = json!("web2")
    });
    let changed = json!({ delegate_key("app"): "web2" });
    until("the change", || selector(&world.source).as_ref() == Some(&changed)).await;
    let service = world.source.get("services", "shop", "web").unwrap();
    assert_eq!(
        service["metadata"]["annotations"][names::ORIGINAL_SELECTOR],
        r#"{"app":"web2"}"#
    );
}

#[tokio::test(start_paused = true)]
async fn it_stays_rewritten_without_pods_and_can_be_given_back() {
    let world = World::start(&["eu"]).await;
    world.service("web", json!({ "app": "web" }));
    world.service("other", json!({ "app": "other" }));
    world.pod("web-0", &[], &[]);
    world.send("web-0", "eu");
    let rewritten = json!({ delegate_key("app"): "web" });
    until("rewritten", || selector(&world.source).as_ref() == Some(&rewritten)).await;
    world.delete("web-0", "eu");
    throughout(Duration::from_secs(60), "it stays so", || {
        selector(&world.source).as_ref() == Some(&rewritten)
    })
    .await;
    assert!(world.targets["eu"].get("services", "shop", "web").is_none());
    let other = world.source.get("services", "shop", "other").unwrap();
    assert_eq!(
        other["spec"]["selector"],
        json!({ "app": "other" }),
        "no proxy pod is behind it"
    );

    let client = world.source.client();
    drop(world.home.following.reroutes.clone());
    let given_back = crate::source::following::reroute::restore(&client).await.unwrap();
    assert_eq!(given_back, 1);
}
