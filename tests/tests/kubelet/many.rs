//! Many streams at once, one of which nobody reads.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;

use super::harness::alone;
use super::world::{Test, World};

const STREAMS: usize = 100;
/// More than all buffers between the pod and who does not read hold.
const FLOOD: usize = 12 << 20;

pub fn tests() -> Vec<Test> {
    vec![alone("a_hundred_streams_and_one_that_nobody_reads", async |world| {
        many(&world).await
    })]
}

async fn many(world: &World) -> Result<()> {
    world.pod("many").await?;
    let pods = Api::<Pod>::namespaced(world.source().client(), "many");
    let params = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let unread = pods.log_stream("web", &params).await?;
    let line = "x".repeat(64 << 10);
    for _ in 0..FLOOD / line.len() {
        world.streams.say(&line)?;
    }
    let params = LogParams {
        tail_lines: Some(0),
        ..params
    };
    let began = Instant::now();
    let followers = (0..STREAMS).map(|_| async {
        let mut lines = pods.log_stream("web", &params).await?.lines();
        loop {
            let line = lines.try_next().await?.context("a stream ended")?;
            if line == "done" {
                return anyhow::Ok(());
            }
        }
    });
    let speaking = async {
        loop {
            world.streams.say("done")?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        #[allow(unreachable_code)]
        anyhow::Ok(())
    };
    tokio::select! {
        all = try_join_all(followers) => drop(all?),
        spoke = speaking => spoke?,
        () = tokio::time::sleep(Duration::from_secs(60)) => anyhow::bail!("some of the streams hear nothing"),
    }
    ensure!(began.elapsed() < Duration::from_secs(60));
    drop(unread);
    Ok(())
}
