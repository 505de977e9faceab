//! The source's own Services that select proxy pods: rewritten for the delegates, and marked for a mesh.

use anyhow::{Result, ensure};
use multicluster_api::names;
use serde_json::{Value, json};

use super::harness::test;
use super::objects::{Service, annotation};
use super::web::service;
use super::world::{Test, World};

/// The selector for delegates' labels, its original kept, and marked for Cilium's mesh.
fn rewritten(object: &Value, app: &str) -> bool {
    let original =
        annotation(object, names::ORIGINAL_SELECTOR).and_then(|text| serde_json::from_str::<Value>(text).ok());
    object["spec"]["selector"] == json!({ "multicluster.admiralty.io/app": app })
        && original == Some(json!({ "app": app }))
        && annotation(object, names::GLOBAL) == Some("true")
        && annotation(object, names::CILIUM_GLOBAL) == Some("true")
}

async fn rules(world: &World) -> Result<()> {
    let ns = world.namespace("selectors").await?;
    world.web(ns, "web", &[("us", 1), ("eu", 1)], &[]).await?;
    let is_rewritten = |object: &Value| rewritten(object, "web");
    world.becomes("source", Service, ns, "web", is_rewritten).await?;

    // Without pods it stays as it is, and with pods again, too.
    for target in ["us", "eu"] {
        world.scale(ns, &format!("web-{target}"), 0).await?;
    }
    world.nothing_left(ns).await?;
    let object = world.find("source", Service, ns, "web").await?.unwrap();
    ensure!(rewritten(&object, "web"), "{object:#}");
    world.scale(ns, "web-us", 1).await?;
    world.running(ns, 1).await?;
    world.arrives("us", Service, ns, "web").await?;
    let object = world.find("source", Service, ns, "web").await?.unwrap();
    ensure!(rewritten(&object, "web"), "{object:#}");
    Ok(())
}

/// Users apply their manifest again and again, and change it now and then.
async fn user_changes(world: &World) -> Result<()> {
    let ns = world.namespace("selector-changes").await?;
    // As kubectl does by default: the manifest is remembered in an annotation, and keys that are not in it stay.
    let apply = async |object: &Value| {
        let args = ["apply", "-f", "-"];
        world.source().kubectl_with_input(&args, &object.to_string()).await
    };
    for app in ["web", "other"] {
        world.apply(&super::web::only_in("us").deployment(ns, app, 1)).await?;
    }
    world.running(ns, 2).await?;
    let mut manifest = service(ns, "front", json!({}));
    manifest["spec"]["selector"] = json!({ "app": "web" });
    apply(&manifest).await?;
    world
        .becomes("source", Service, ns, "front", |object| rewritten(object, "web"))
        .await?;
    world.arrives("us", Service, ns, "front").await?;

    // The same again: an added plain key would select nothing.
    apply(&manifest).await?;
    world
        .becomes("source", Service, ns, "front", |object| rewritten(object, "web"))
        .await?;

    // Another one.
    manifest["spec"]["selector"] = json!({ "app": "other" });
    apply(&manifest).await?;
    world
        .becomes("source", Service, ns, "front", |object| rewritten(object, "other"))
        .await?;
    let selects = |copy: &Value| copy["spec"]["selector"] == json!({ "multicluster.admiralty.io/app": "other" });
    world.becomes("us", Service, ns, "front", selects).await?;

    // Replaced as a whole, with two keys.
    let replaced = json!([{ "op": "replace", "path": "/spec/selector", "value": { "app": "web" } }]).to_string();
    let args = ["patch", "service", "-n", ns, "front", "--type=json", "-p", &replaced];
    world.source().kubectl(&args).await?;
    world
        .becomes("source", Service, ns, "front", |object| rewritten(object, "web"))
        .await
        .map(drop)
}

/// One Service over proxy pods and ordinary pods: nobody can serve both by one selector, so proxy pods win, as before.
async fn ordinary_pods(world: &World) -> Result<()> {
    let ns = world.namespace("ordinary-selectors").await?;
    let ordinary = super::fixtures::Template::ordinary().deployment(ns, "web", 1);
    world
        .apply(&super::objects::list(&[ordinary, service(ns, "web", json!({}))]))
        .await?;
    world.running(ns, 1).await?;
    // Somebody asks for something else at the same time: when that is done, this would be, too.
    world
        .apply(&super::web::only_in("us").deployment(ns, "other", 1))
        .await?;
    world.apply(&service(ns, "other", json!({}))).await?;
    world
        .becomes("source", Service, ns, "other", |object| rewritten(object, "other"))
        .await?;
    let object = world.find("source", Service, ns, "web").await?.unwrap();
    ensure!(object["spec"]["selector"] == json!({ "app": "web" }), "{object:#}");
    ensure!(annotation(&object, names::GLOBAL).is_none(), "{object:#}");
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![
        test("the_sources_service_selects_delegates", async |world| {
            rules(&world).await
        }),
        test("a_selector_that_its_user_changes_is_rewritten_again", async |world| {
            user_changes(&world).await
        }),
        test("services_of_ordinary_pods_keep_their_selector", async |world| {
            ordinary_pods(&world).await
        }),
    ]
}
