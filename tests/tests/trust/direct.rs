//! A target whose API server believes the source's tokens by itself, as docs/direct-trust.md has it.

use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use multicluster_api::{TargetRef, names};
use serde_json::{Value, json};
use testbed::eventually;
use testbed::product::{base64, object};

use super::harness::test;
use super::jwt;
use super::pages::objects;
use super::tutorial::{DEFAULT, regional};
use super::world::{SOON, Test, World, describe, is_running};

pub fn tests() -> Vec<Test> {
    vec![test("an_api_server_believes_the_source_by_itself", direct)]
}

async fn direct(world: Arc<World>) -> Result<()> {
    let (source, target) = (world.source(), world.target("direct"));
    let address = target.url().trim_start_matches("https://");
    let authority = base64(&target.authority().pair().certificate);
    let words = [
        ("https://oidc.source.example.com", source.url()),
        ("eu.example.com:6443", address),
        ("LS0t...", authority.as_str().unwrap_or_default()),
    ];
    let [mut config, mut kubeconfig]: [Value; 2] = objects("direct-trust.md", &words)?
        .try_into()
        .map_err(|_| anyhow!("the page has two files"))?;
    config["jwt"][0]["issuer"]["certificateAuthority"] = json!(source.authority().pair().certificate);
    // As a whole, or the API server could read a part of it.
    let new = world.authentication_config.with_extension("new");
    std::fs::write(&new, config.to_string())?;
    std::fs::rename(&new, &world.authentication_config)?;

    let user = format!("{}ns/{DEFAULT}/id/default", testbed::product::PREFIX);
    let may = object("Source", DEFAULT, "management", json!({ "userName": user }));
    target.apply_yaml(&may.to_string()).await?;
    kubeconfig["metadata"]["name"] = json!("direct");
    kubeconfig["spec"]["secretName"] = json!("direct");
    let secret = json!({ "kubeconfigSecret": { "name": "direct" } });
    for object in [kubeconfig, object("Target", DEFAULT, "direct", secret)] {
        world.apply(&object).await?;
    }
    let label = [
        "label",
        "namespace",
        "--overwrite",
        DEFAULT,
        "multicluster-scheduler=enabled",
    ];
    source.kubectl(&label).await?;
    let node: String = TargetRef::namespaced(DEFAULT, "direct").virtual_node().into();
    world.product.wait_node_ready(&node).await?;

    world.apply(&regional("direct", "hello-direct")).await?;
    eventually("4 delegates to run in direct", SOON, async || {
        let delegates = world.delegates("direct", DEFAULT).await?;
        let running = delegates.iter().filter(|pod| is_running(pod)).count();
        ensure!(running == 4, "{}", describe(&delegates));
        Ok(Some(()))
    })
    .await?;
    let created = world.audits["direct"].events("/namespaces/default/podchaperons")?;
    let created: Vec<_> = created.iter().filter(|event| event["verb"] == "create").collect();
    ensure!(!created.is_empty(), "no chaperon was made");
    for event in created {
        ensure!(
            event["user"]["username"] == user && event["impersonatedUser"].is_null(),
            "{event}"
        );
    }

    // A token for another target is none here, nor is one of another issuer.
    let audience = format!("{}{address}", names::AUDIENCE_PREFIX);
    let door = target.door(None)?;
    for (audience, status) in [
        (Some(audience.as_str()), 200),
        (Some("multicluster.admiralty.io/other"), 401),
        (None, 401),
    ] {
        let token = jwt::token(source, DEFAULT, "default", audience).await?;
        let answer = door.clone().with_token(&token).get("/api").await?;
        ensure!(answer.status == status, "{audience:?}: {}", answer.text());
    }
    source
        .kubectl(&["delete", "deployment", "-n", DEFAULT, "hello-direct"])
        .await?;
    source
        .kubectl(&["delete", "targets.multicluster.admiralty.io", "-n", DEFAULT, "direct"])
        .await?;
    Ok(())
}
