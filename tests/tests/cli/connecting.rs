//! Connected by token and by identity, used, and disconnected.

use std::sync::Arc;

use anyhow::{Result, ensure};
use testbed::product::Authproxy;

use super::fixtures::Template;
use super::harness::alone;
use super::world::{Test, World};

pub fn tests() -> Vec<Test> {
    vec![
        alone("a_target_is_connected_by_a_token", by_token),
        alone("a_target_is_connected_by_an_identity", by_identity),
        alone("a_target_is_connected_for_all_namespaces", for_all),
        alone("a_dry_run_writes_nothing", dry_run),
    ]
}

async fn by_token(world: Arc<World>) -> Result<()> {
    let ns = "by-token";
    world.namespace(ns).await?;
    let before = world.objects().await?;
    let connected = world
        .connect(ns, "eu", &["--label-namespace", "--output", "json"])
        .await?;
    // Before anything else: nobody shall find the token in a log.
    let token = token_of(&world, ns).await?;
    ensure!(
        !connected.out.contains(&token) && !connected.err.contains(&token),
        "the token was shown"
    );
    let connected = connected.json(0)?;
    let node = connected["virtualNode"].as_str().unwrap_or_default().to_owned();
    ensure!(
        connected["credentials"] == "token" && connected["allocatable"]["cpu"].is_string(),
        "{connected}"
    );
    ensure!(
        connected["namespaceServed"] == true && connected["expires"].is_string(),
        "{connected}"
    );
    uses_it(&world, ns, "eu", &node).await?;
    // Once more: it repairs what somebody has broken, and renews the token.
    let delete = ["delete", "sources.multicluster.admiralty.io", "management", "-n", ns];
    world.target("eu").kubectl(&delete).await?;
    world.connect(ns, "eu", &[]).await?.expect(0)?;
    ensure!(token_of(&world, ns).await? != token, "the token was not renewed");
    disconnected(&world, ns, "eu", &before).await
}

async fn by_identity(world: Arc<World>) -> Result<()> {
    let ns = "by-identity";
    world.namespace(ns).await?;
    let before = world.objects().await?;
    let proxy = world.product.target("us")?.authproxy()?.url();
    let name = Authproxy::server_name();
    let way = [
        "--server",
        proxy.as_str(),
        "--tls-server-name",
        &name,
        "--label-namespace",
        "--output",
        "json",
    ];
    let connected = world.connect(ns, "us", &way).await?.json(0)?;
    ensure!(
        connected["credentials"] == "identity" && connected["expires"].is_string(),
        "{connected}"
    );
    let node = connected["virtualNode"].as_str().unwrap_or_default().to_owned();
    uses_it(&world, ns, "us", &node).await?;
    world.connect(ns, "us", &way).await?.expect(0)?;
    disconnected(&world, ns, "us", &before).await
}

async fn for_all(world: Arc<World>) -> Result<()> {
    let before = world.objects().await?;
    let args = [
        "connect",
        "--source",
        "management",
        "--target",
        "eu",
        "--cluster",
        "--name",
        "everywhere",
        "-o",
        "yaml",
    ];
    let connected = world.cli(&args).await?;
    ensure!(
        connected.expect(0)?.out.contains("kind: ClusterTarget"),
        "{}",
        connected.out
    );
    let args = ["disconnect", "everywhere", "--cluster", "--target", "eu", "--yes"];
    world.cli(&args).await?.expect(0)?;
    world.nothing_new(&before).await
}

async fn dry_run(world: Arc<World>) -> Result<()> {
    let before = world.objects().await?;
    let planned = world
        .connect("default", "eu", &["--dry-run", "--output", "json"])
        .await?
        .json(0)?;
    ensure!(
        planned["dryRun"] == true && planned["objects"].as_array().is_some_and(|all| all.len() == 4),
        "{planned}"
    );
    world.nothing_new(&before).await
}

/// A pod runs there, and the commands tell so.
async fn uses_it(world: &World, ns: &str, target: &str, node: &str) -> Result<()> {
    world.apply(&Template::elected().deployment(ns, "web", 1)).await?;
    let pods = world.running(ns, 1).await?;
    let pod = pods[0].metadata.name.clone().unwrap_or_default();
    let status = world.cli(&["status", "-o", "json"]).await?.json(0)?;
    let targets = status["targets"].as_array().cloned().unwrap_or_default();
    let ours = targets.iter().find(|one| one["virtualNode"] == node);
    ensure!(
        ours.is_some_and(|one| one["ready"] == true && one["pods"] == 1 && one["credentialsExpire"].is_string()),
        "{status}"
    );
    let explained = world
        .cli(&[
            "explain",
            &format!("pod/{pod}"),
            "-n",
            ns,
            "--target",
            target,
            "-o",
            "json",
        ])
        .await?;
    let explained = explained.json(0)?;
    ensure!(
        explained["state"] == "Placed" && explained["virtualNode"] == node,
        "{explained}"
    );
    ensure!(
        explained["delegate"]["node"]
            .as_str()
            .is_some_and(|node| node.starts_with(target)),
        "{explained}"
    );
    // Without -o: for people, and without escape sequences, since this is no terminal.
    let table = world.cli(&["status"]).await?;
    ensure!(
        table.out.starts_with("TARGET") && !table.out.contains('\u{1b}'),
        "{}",
        table.out
    );
    Ok(())
}

/// With the pod still there: its controller's next one waits, and nothing is left in the target.
async fn disconnected(
    world: &World,
    ns: &str,
    target: &str,
    before: &std::collections::BTreeSet<String>,
) -> Result<()> {
    let refused = world.cli(&["disconnect", target, "-n", ns, "--target", target]).await?;
    refused.expect(2)?.says("1 pods run")?;
    let other = if target == "us" { "eu" } else { "us" };
    let wrong = world
        .cli(&["disconnect", target, "-n", ns, "--target", other, "--yes"])
        .await?;
    wrong.expect(1)?.says("is not the cluster")?;
    world
        .cli(&["disconnect", target, "-n", ns, "--target", target, "--yes"])
        .await?
        .expect(0)?;
    world
        .source()
        .kubectl(&["delete", "deployment", "web", "-n", ns])
        .await?;
    world.nothing_left(ns).await?;
    world.nothing_new(before).await
}

async fn token_of(world: &World, namespace: &str) -> Result<String> {
    let config = [
        "get",
        "secret",
        "eu",
        "-n",
        namespace,
        "-o",
        "go-template={{.data.config | base64decode}}",
    ];
    let config: serde_json::Value = serde_json::from_str(&world.source().kubectl(&config).await?)?;
    Ok(config["users"][0]["user"]["token"]
        .as_str()
        .unwrap_or("no token")
        .to_owned())
}
