//! Targets that do not take a file: the pod goes elsewhere, the file's user is told, all others go on.

use anyhow::{Result, ensure};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::eventually;

use super::files::{config_map, mounting, secret};
use super::harness::test;
use super::objects::{ConfigMap, Secret, Service, entry, label};
use super::support::preferring;
use super::world::{SOON, Test, World, node_of};

/// A Deployment whose pods would rather go to `us`, with a ConfigMap.
fn rather_in_us(ns: &str, app: &str, file: &str) -> Value {
    let volumes = json!([{ "name": "files", "configMap": { "name": file } }]);
    preferring("us").spec("volumes", volumes).deployment(ns, app, 3)
}

async fn all_run_in(world: &World, ns: &str, app: &str, target: &str) -> Result<()> {
    let (pods, _) = world.running_of(ns, app, 3).await?;
    ensure!(pods.iter().all(|pod| node_of(pod) == format!("admiralty-{target}")));
    Ok(())
}

/// The target's own people have an object of this name.
async fn taken(world: &World) -> Result<()> {
    let ns = world.namespace("taken").await?;
    world
        .target("us")
        .apply_yaml(&config_map(ns, "settings", "theirs").to_string())
        .await?;
    let theirs = world.find("us", ConfigMap, ns, "settings").await?;
    world.apply(&config_map(ns, "settings", "ours")).await?;
    world.apply(&config_map(ns, "other", "ours")).await?;
    world.apply(&rather_in_us(ns, "web", "settings")).await?;
    all_run_in(world, ns, "web", "eu").await?;
    world.warned(ns, "ConfigMap", "settings", &["us"]).await?;

    // Others of the namespace go on there, and each file for itself.
    world.apply(&rather_in_us(ns, "other", "other")).await?;
    all_run_in(world, ns, "other", "us").await?;
    let copy = world.find("eu", ConfigMap, ns, "settings").await?.unwrap_or_default();
    ensure!(entry(&copy, "key").as_deref() == Some("ours"), "{copy:#}");

    world
        .patch(
            "source",
            ConfigMap,
            ns,
            "settings",
            json!({ "data": { "key": "changed" } }),
        )
        .await?;
    world
        .becomes("eu", ConfigMap, ns, "settings", |copy| copy["data"]["key"] == "changed")
        .await?;
    for app in ["web", "other"] {
        world.scale(ns, app, 0).await?;
    }
    world.leaves("eu", ConfigMap, ns, "settings").await?;
    ensure!(
        world.find("us", ConfigMap, ns, "settings").await? == theirs,
        "what is theirs was touched"
    );
    Ok(())
}

/// When they make room, the file comes, without anybody's help.
async fn freed(world: &World) -> Result<()> {
    let ns = world.namespace("freed").await?;
    world
        .target("us")
        .apply_yaml(&secret(ns, "password", "theirs").to_string())
        .await?;
    world.apply(&secret(ns, "password", "ours")).await?;
    let volumes = json!([{ "name": "files", "secret": { "secretName": "password" } }]);
    let template = super::web::only_in("us").spec("volumes", volumes);
    world.apply(&template.deployment(ns, "web", 1)).await?;
    let event = world.warned(ns, "Secret", "password", &["us"]).await?;
    let message = event.message.unwrap_or_default();
    ensure!(
        !message.contains("ours") && !message.contains("theirs"),
        "a secret is told: {message}"
    );
    ensure!(
        world.delegates("us", ns).await?.is_empty(),
        "a pod runs with another's password"
    );
    world.remove("us", Secret, ns, "password").await?;
    world.running(ns, 1).await?;
    let copy = world.find("us", Secret, ns, "password").await?.unwrap_or_default();
    ensure!(entry(&copy, "key").as_deref() == Some("ours"));
    Ok(())
}

/// A quota in the target does not let the file in.
async fn quota(world: &World) -> Result<()> {
    let ns = world.namespace("quota").await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "files", "namespace": ns },
        // That of the namespace's own kube-root-ca.crt.
        "spec": { "hard": { "count/configmaps": "1" } },
    });
    world.target("us").apply_yaml(&quota.to_string()).await?;
    let path = format!("/api/v1/namespaces/{ns}/resourcequotas/files");
    eventually("the quota to count", SOON, async || {
        let quota: Value = serde_json::from_str(&world.target("us").get(&path).await?)?;
        Ok((quota["status"]["used"]["count/configmaps"] == "1").then_some(()))
    })
    .await?;
    world.apply(&config_map(ns, "settings", "one")).await?;
    world.apply(&rather_in_us(ns, "web", "settings")).await?;
    all_run_in(world, ns, "web", "eu").await?;
    world.warned(ns, "ConfigMap", "settings", &["us", "quota"]).await?;
    Ok(())
}

/// A namespace that is missing in one target: its pods go where it is, and so do their files.
async fn no_namespace(world: &World) -> Result<()> {
    let ns = "only-in-eu";
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": ns } });
    let mut elected = namespace.clone();
    elected["metadata"]["labels"] = json!({ names::NAMESPACE_LABEL: names::NAMESPACE_LABEL_ENABLED });
    world.apply(&elected).await?;
    world.target("eu").apply_yaml(&namespace.to_string()).await?;
    world.apply(&config_map(ns, "settings", "one")).await?;
    world.apply(&super::web::service(ns, "web", json!({}))).await?;
    world.apply(&rather_in_us(ns, "web", "settings")).await?;
    all_run_in(world, ns, "web", "eu").await?;
    world.arrives("eu", ConfigMap, ns, "settings").await?;
    world.arrives("eu", Service, ns, "web").await.map(drop)
}

/// A file that is not in the source is no reason to wait: the kubelet waits for it, as everywhere.
async fn missing(world: &World) -> Result<()> {
    let ns = world.namespace("missing-file").await?;
    world.apply(&mounting("us", "later").deployment(ns, "web", 1)).await?;
    eventually("a delegate", SOON, async || {
        Ok((world.delegates("us", ns).await?.len() == 1).then_some(()))
    })
    .await?;
    world.apply(&config_map(ns, "later", "one")).await?;
    let copy = world.arrives("us", ConfigMap, ns, "later").await?;
    ensure!(label(&copy, names::PARENT_UID).is_some());
    Ok(())
}

/// What belongs to a cluster alone stays there.
async fn never_followed(world: &World) -> Result<()> {
    let ns = world.namespace("never-followed").await?;
    let token = json!({
        "metadata": { "annotations": { "kubernetes.io/service-account.name": "default" } },
        "type": "kubernetes.io/service-account-token",
    });
    world.apply(&Secret.object(ns, "token", token)).await?;
    world.apply(&config_map(ns, "settings", "one")).await?;
    let volumes = json!([
        { "name": "a", "secret": { "secretName": "token" } },
        { "name": "b", "configMap": { "name": "settings" } },
    ]);
    let template = super::web::only_in("us").spec("volumes", volumes);
    world.apply(&template.deployment(ns, "web", 1)).await?;
    world.warned(ns, "Secret", "token", &[]).await?;
    world.arrives("us", ConfigMap, ns, "settings").await?;
    ensure!(
        world.find("us", Secret, ns, "token").await?.is_none(),
        "a token has left its cluster"
    );
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![
        test("a_file_of_the_targets_own_people_is_left_alone", async |world| {
            taken(&world).await
        }),
        test("a_file_comes_when_its_name_is_free", async |world| freed(&world).await),
        test("a_quota_sends_pods_elsewhere", async |world| quota(&world).await),
        test("files_go_where_their_namespace_is", async |world| {
            no_namespace(&world).await
        }),
        test("a_file_that_comes_later_follows", async |world| missing(&world).await),
        test("tokens_of_service_accounts_stay_at_home", async |world| {
            never_followed(&world).await
        }),
    ]
}
