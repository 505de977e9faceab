//! kubectl speaks with proxy pods as with any.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::test;
use super::kubectl::Protocol;
use super::world::{SOON, Test, World};

pub fn tests() -> Vec<Test> {
    vec![
        test("logs_are_the_delegates", async |world| logs(&world).await),
        test("exec_runs_in_the_delegate", async |world: Arc<World>| {
            world.pod("talk-exec").await?;
            for protocol in [Protocol::WebSocket, Protocol::Spdy] {
                exec(&world, protocol).await.with_context(|| format!("{protocol:?}"))?;
            }
            Ok(())
        }),
        test(
            "attach_and_port_forward_reach_the_delegate",
            async |world: Arc<World>| {
                world.pod("talk-on").await?;
                for protocol in [Protocol::WebSocket, Protocol::Spdy] {
                    attach(&world, protocol)
                        .await
                        .with_context(|| format!("{protocol:?}"))?;
                    forward(&world, protocol)
                        .await
                        .with_context(|| format!("{protocol:?}"))?;
                }
                Ok(())
            },
        ),
        test("files_are_copied", async |world| copy(&world).await),
    ]
}

async fn logs(world: &World) -> Result<()> {
    world.pod("talk-logs").await?;
    let logs = async |args: &[&str]| {
        let all = [&["logs", "--namespace=talk-logs", "web"], args].concat();
        world.kubectl.run(&all).await
    };
    for line in ["first", "second", "third"] {
        world.streams.say(line)?;
    }
    let all = logs(&[]).await?;
    ensure!(all.contains("first\n") && all.contains("third\n"), "{all}");
    let tail = logs(&["--tail=1"]).await?;
    ensure!(tail.lines().count() == 1, "{tail}");
    let stamped = logs(&["--timestamps", "--tail=1"]).await?;
    ensure!(stamped.starts_with("2026-01-01T"), "{stamped}");
    let since = logs(&["--since=1s"]).await?;
    ensure!(since.is_empty(), "all lines are of long ago, and these came: {since}");
    let short = logs(&["--limit-bytes=5"]).await?;
    ensure!(short.len() == 5, "{short:?}");
    let mut following = world.kubectl.start(
        &["logs", "--namespace=talk-logs", "--follow", "web"],
        Protocol::WebSocket,
    )?;
    eventually("what is followed to show", SOON, async || {
        world.streams.say("later")?;
        let line = tokio::time::timeout(Duration::from_secs(1), following.line_with("later"));
        line.await.ok().transpose()
    })
    .await?;
    Ok(())
}

async fn exec(world: &World, protocol: Protocol) -> Result<()> {
    let exec = async |args: &[&str], input: &[u8]| {
        let all = [&["exec", "--namespace=talk-exec"], args].concat();
        world.kubectl.output(&all, input, protocol).await
    };
    let failed = exec(&["web", "--", "sh", "-c", "echo out; echo err >&2; exit 7"], b"").await?;
    // kwok makes an internal error of exit codes: those of real nodes are 7.
    ensure!(!failed.status.success(), "{failed:?}");
    ensure!(
        failed.stdout == b"out\n" && failed.stderr.starts_with(b"err\n"),
        "{failed:?}"
    );
    let file: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let copied = exec(&["--stdin", "web", "--", "head", "-c", "3000000"], &file).await?;
    ensure!(
        copied.status.success() && copied.stdout == file,
        "a file is not what it was"
    );
    let odd = exec(&["web", "--", "printf", "%s", "a b&c=d%2f ä?#"], b"").await?;
    ensure!(odd.stdout == "a b&c=d%2f ä?#".as_bytes(), "{odd:?}");
    let all = ["exec", "--namespace=talk-exec", "--stdin", "web", "--", "cat"];
    let mut cat = world.kubectl.start(&all, protocol)?;
    for line in ["one", "two"] {
        cat.enter(line).await?;
        ensure!(cat.line().await? == line);
    }
    let missing = exec(&["--container=none", "web", "--", "true"], b"").await?;
    let said = String::from_utf8_lossy(&missing.stderr);
    ensure!(said.contains("none") && !missing.status.success(), "{said}");
    Ok(())
}

async fn attach(world: &World, protocol: Protocol) -> Result<()> {
    let mut attached = world
        .kubectl
        .start(&["attach", "--namespace=talk-on", "web"], protocol)?;
    let word = format!("said-{protocol:?}");
    eventually("what is attached to show", SOON, async || {
        world.streams.say(&word)?;
        let line = tokio::time::timeout(Duration::from_secs(1), attached.line_with(&word));
        line.await.ok().transpose()
    })
    .await?;
    Ok(())
}

async fn forward(world: &World, protocol: Protocol) -> Result<()> {
    let all = ["port-forward", "--namespace=talk-on", "pod/web", ":80"];
    let mut forward = world.kubectl.start(&all, protocol)?;
    let line = forward.line_with("127.0.0.1:").await?;
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next());
    let port: u16 = port.context("a port")?.parse()?;
    for connection in 0..3_u8 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let (mut read, mut write) = stream.split();
        let data = vec![connection; 200_000];
        let mut back = vec![0; data.len()];
        let exchange = async { tokio::try_join!(write.write_all(&data), read.read_exact(&mut back)) };
        tokio::time::timeout(SOON, exchange).await.context("no echo")??;
        ensure!(back == data, "the echo is another");
    }
    Ok(())
}

/// From the pod, by its `tar`.
async fn copy(world: &World) -> Result<()> {
    world.pod("talk-copy").await?;
    let dir = world.product.testbed.dir();
    let (there, here) = (dir.join("there.txt"), dir.join("here.txt"));
    std::fs::write(&there, "a file of the pod\n")?;
    let from = format!("talk-copy/web:{}", there.display());
    world.kubectl.run(&["cp", &from, &here.display().to_string()]).await?;
    ensure!(std::fs::read_to_string(&here)? == "a file of the pod\n");
    Ok(())
}
