//! What cannot work is told, and leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::harness::alone;
use super::world::{SOON, Test, World};

pub fn tests() -> Vec<Test> {
    vec![
        alone("what_cannot_be_connected_is_told_and_leaves_nothing", cannot_work),
        alone("a_connection_that_does_not_get_ready_is_taken_back", does_not_get_ready),
        alone("ctrl_c_takes_back_what_was_made", interrupted),
        alone("missing_permissions_are_named_before_anything_is_written", forbidden),
        alone("a_target_that_is_gone_is_disconnected_by_force", by_force),
    ]
}

async fn cannot_work(world: Arc<World>) -> Result<()> {
    let before = world.objects().await?;
    let connect = async |more: &[&str]| world.cli(&[&["connect"], more].concat()).await;
    let swapped = connect(&["--source", "eu", "--target", "management"]).await?;
    swapped
        .expect(1)?
        .says("swapped")?
        .says("--source management --target eu")?;
    let nobody = connect(&["--source", "management", "--target", "nowhere"]).await?;
    nobody.expect(1)?.says("context nowhere")?.says("cannot be reached")?;
    let unknown = connect(&["--source", "management", "--target", "eux"]).await?;
    unknown
        .expect(2)?
        .says("write one of management, us, nowhere, eu")
        .or_else(|_| unknown.says("write one of"))?;
    let itself = connect(&["--source", "management", "--target", "management"]).await?;
    itself.expect(1)?.says("self: true")?;
    let target = connect(&["--source", "us", "--target", "eu"]).await?;
    target.expect(1)?.says("us cannot be the source")?;
    connect(&["--target", "eu", "--name", "Not_A_Name"]).await?.expect(2)?;
    let namespace = connect(&["--target", "eu", "--namespace", "missing"]).await?;
    namespace
        .expect(1)?
        .says("management has no namespace missing")?
        .says("eu has no namespace missing")?;
    let address = connect(&["--target", "us"]).await?;
    address.expect(1)?.says("--server https://HOST")?;
    let insecure = connect(&["--target", "eu", "--server", "http://eu.example.com"]).await?;
    insecure.expect(1)?.says("https://")?;
    let proxy = connect(&["--target", "eu", "--credentials", "identity"]).await?;
    proxy.expect(1)?.says("the authenticating proxy is not installed")?;
    world.nothing_new(&before).await
}

/// The source cannot reach the address: the Target never gets ready.
async fn does_not_get_ready(world: Arc<World>) -> Result<()> {
    let before = world.objects().await?;
    let args = [
        "connect",
        "--target",
        "eu",
        "--namespace",
        "default",
        "--server",
        "https://127.0.0.1:1",
        "--timeout",
        "20s",
    ];
    let failed = world.cli(&args).await?;
    failed
        .expect(1)?
        .says("APIServerUnreachable")?
        .says("Everything that was made has been removed again")?;
    world.nothing_new(&before).await
}

async fn interrupted(world: Arc<World>) -> Result<()> {
    let before = world.objects().await?;
    for sign in ["created ServiceAccount", "created Secret", "created Target"] {
        let args = [
            "connect",
            "--target",
            "eu",
            "--namespace",
            "default",
            "--server",
            "https://127.0.0.1:1",
        ];
        let mut child = world.command(&args).spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id().context("it has ended")?)?);
        let mut said = BufReader::new(child.stderr.take().context("standard error")?);
        let mut line = String::new();
        while !line.contains(sign) {
            line.clear();
            let read = tokio::time::timeout(SOON, said.read_line(&mut line)).await??;
            ensure!(read > 0, "it ended before {sign}");
        }
        kill(pid, Signal::SIGINT)?;
        let mut rest = String::new();
        tokio::time::timeout(Duration::from_secs(60), said.read_to_string(&mut rest)).await??;
        let ended = child.wait().await?;
        ensure!(ended.code() == Some(130), "{ended}: {rest}");
        world.nothing_new(&before).await?;
    }
    Ok(())
}

/// The credentials of the source's own agent in the target's kubeconfig: it may read, and not write.
async fn forbidden(world: Arc<World>) -> Result<()> {
    let before = world.objects().await?;
    let mut config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&world.kubeconfig)?)?;
    let agent = world
        .target("eu")
        .service_account_kubeconfig("multicluster-scheduler", "multicluster-agent")
        .await?;
    let agent: serde_json::Value = serde_json::from_str(&agent)?;
    for user in config["users"].as_array_mut().into_iter().flatten() {
        if user["name"] == "eu" {
            user["user"] = agent["users"][0]["user"].clone();
        }
    }
    let path = world.kubeconfig.with_file_name("forbidden.kubeconfig");
    std::fs::write(&path, config.to_string())?;
    let path = path.display().to_string();
    let refused = world.connect("default", "eu", &["--kubeconfig", &path]).await?;
    refused.expect(1)?.says("context eu")?;
    ensure!(
        refused.err.contains("forbidden") || refused.err.contains("your user may not"),
        "{}",
        refused.err
    );
    world.nothing_new(&before).await
}

async fn by_force(world: Arc<World>) -> Result<()> {
    let before = world.objects().await?;
    world.connect("default", "eu", &[]).await?.expect(0)?;
    let disconnect = ["disconnect", "eu", "-n", "default", "--yes"];
    world.cli(&disconnect).await?.expect(2)?.says("--force")?;
    let nowhere = world.cli(&[&disconnect[..], &["--target", "nowhere"]].concat()).await?;
    nowhere.expect(1)?.says("nothing has been done")?;
    let forced = world
        .cli(&[&disconnect[..], &["--target", "nowhere", "--force", "-o", "json"]].concat())
        .await?;
    let forced = forced.json(0)?;
    ensure!(
        forced["kept"][0]
            .as_str()
            .is_some_and(|kept| kept.contains("Source default/management")),
        "{forced}"
    );
    let target = world.target("eu");
    for kind in ["sources.multicluster.admiralty.io", "serviceaccount"] {
        target.kubectl(&["delete", kind, "management", "-n", "default"]).await?;
    }
    world.nothing_new(&before).await
}
