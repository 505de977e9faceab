//! What ends, ends soon and says why; what is merely silent lives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kube::ResourceExt;
use testbed::{Network, eventually};

use super::harness::alone;
use super::kubectl::Protocol;
use super::leader::{all_up, leader, successor};
use super::world::{NODE, SOON, Test, World};

/// How long a person waits for the answer that there is none.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn tests() -> Vec<Test> {
    vec![
        alone(
            "a_target_that_does_not_answer_is_named_within_5_s",
            async |world: Arc<World>| {
                world.pod("fail-silent").await?;
                let result = silent(&world).await;
                world.link("us").set(Network::Up);
                result
            },
        ),
        alone(
            "a_delegate_that_is_gone_is_said_so_within_5_s",
            async |world: Arc<World>| {
                let agents = world.product.target("us")?.agent.all();
                let result = gone(&world).await;
                agents.iter().try_for_each(|agent| agent.process.resume())?;
                world.product.wait_node_ready(NODE).await?;
                result
            },
        ),
        alone("without_the_role_in_the_target_its_name_is_said", async |world| {
            denied(&world).await
        }),
        alone("the_certificate_is_renewed_and_streams_go_on", async |world| {
            renewed(&world).await
        }),
        alone("another_leader_takes_the_nodes_over", async |world| {
            let result = leader_change(&world).await;
            all_up(&world).await?;
            result
        }),
    ]
}

async fn silent(world: &World) -> Result<()> {
    let following = ["logs", "--namespace=fail-silent", "--follow", "--tail=0", "web"];
    let mut following = world.kubectl.start(&following, Protocol::WebSocket)?;
    let network = world.link("us");
    // Longer than a target is given to prove that it is there.
    tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
    following.runs()?;
    for (state, words) in [
        (Network::Dropping, ["does not answer", "does not answer"]),
        (Network::Resetting, ["cannot be reached", "has hung up"]),
    ] {
        network.set(state);
        let exec = ["exec", "--namespace=fail-silent", "web", "--", "true"];
        let logs = ["logs", "--namespace=fail-silent", "web"];
        for (args, protocol) in [
            (&exec[..], Protocol::WebSocket),
            (&exec[..], Protocol::Spdy),
            (&logs[..], Protocol::WebSocket),
        ] {
            let began = Instant::now();
            let output = world.kubectl.output(args, b"", protocol).await?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(
                !output.status.success() && said.contains("\\\"us\\\"") | said.contains("\"us\""),
                "{said}"
            );
            ensure!(words.iter().any(|words| said.contains(words)), "{said}");
            ensure!(began.elapsed() < PATIENCE, "{args:?} took {:?}", began.elapsed());
        }
    }
    network.set(Network::Up);
    eventually("the target to be reached again", SOON, async || {
        world
            .kubectl
            .run(&["logs", "--namespace=fail-silent", "web"])
            .await
            .map(Some)
    })
    .await?;
    world.product.wait_node_ready(NODE).await
}

/// Given that nobody in the target tells the source that a delegate is no more.
async fn gone(world: &World) -> Result<()> {
    world.pod("fail-gone").await?;
    let delegate = world.delegates("us", "fail-gone").await?.remove(0).name_any();
    for agent in world.product.target("us")?.agent.all() {
        agent.process.pause()?;
    }
    let args = [
        "delete",
        "pod",
        "--namespace=fail-gone",
        "--force",
        "--grace-period=0",
        &delegate,
    ];
    world.target("us").kubectl(&args).await?;
    let exec = ["exec", "--namespace=fail-gone", "web", "--", "true"];
    let logs = ["logs", "--namespace=fail-gone", "web"];
    // For so long kubectl itself tries again.
    let follow = [&logs[..], &["--follow", "--pod-running-timeout=1s"]].concat();
    for (args, protocol) in [
        (&exec[..], Protocol::WebSocket),
        (&exec, Protocol::Spdy),
        (&logs, Protocol::WebSocket),
        (&follow, Protocol::WebSocket),
    ] {
        let began = Instant::now();
        let output = world.kubectl.output(args, b"", protocol).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            !output.status.success() && said.contains("the delegate of pod fail-gone/web is gone"),
            "{args:?}: {said}"
        );
        ensure!(began.elapsed() < PATIENCE, "{args:?} took {:?}", began.elapsed());
    }
    Ok(())
}

async fn denied(world: &World) -> Result<()> {
    world.pod("fail-denied").await?;
    let (target, role) = (world.target("us"), "multicluster-source-streams");
    let aggregated = async |value: &str| {
        let label = format!("multicluster.admiralty.io/aggregate-to-source={value}");
        let args = ["label", "--overwrite", "clusterrole", role, &label];
        target.kubectl(&args).await.map(drop)
    };
    aggregated("false").await?;
    let exec = ["exec", "--namespace=fail-denied", "web", "--", "true"];
    let said = eventually("exec to be refused", SOON, async || {
        let output = world.kubectl.output(&exec, b"", Protocol::WebSocket).await?;
        Ok((!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned()))
    })
    .await;
    aggregated("true").await?;
    let said = said?;
    ensure!(said.contains(role) && said.contains("us"), "{said}");
    Ok(())
}

async fn renewed(world: &World) -> Result<()> {
    world.pod("fail-renewed").await?;
    let cat = ["exec", "--namespace=fail-renewed", "--stdin", "web", "--", "cat"];
    let mut cat = world.kubectl.start(&cat, Protocol::WebSocket)?;
    cat.enter("before").await?;
    ensure!(cat.line().await? == "before");
    let expiry = async || {
        let port = leader(&world.product.source).await?.admin_port;
        let metrics = testbed::product::admin_get(port, "/metrics").await?;
        let name = "multicluster_kubelet_certificate_expiry_timestamp_seconds ";
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        Ok::<_, anyhow::Error>(value.parse::<f64>()?)
    };
    for _ in 0..2 {
        let first = expiry().await?;
        eventually("another certificate", SOON, async || {
            // Beside calls that go on all the time: none fails.
            world.kubectl.run(&["logs", "--namespace=fail-renewed", "web"]).await?;
            Ok((expiry().await? > first).then_some(()))
        })
        .await?;
    }
    cat.enter("after").await?;
    ensure!(cat.line().await? == "after");
    // What has served is not left behind.
    let requests = world
        .kubectl
        .run(&[
            "get",
            "csr",
            "--output=name",
            "--selector=multicluster.admiralty.io/kubelet-request=true",
        ])
        .await?;
    ensure!(requests.lines().count() <= 2, "{requests}");
    Ok(())
}

async fn leader_change(world: &World) -> Result<()> {
    world.pod("fail-leader").await?;
    let source = &world.product.source;
    let former = leader(source).await?;
    former.kill().await?;
    let new = successor(source, former).await?;
    eventually("the node to name the new leader's port", SOON, async || {
        let node = [
            "get",
            "node",
            NODE,
            "--output=jsonpath={.status.daemonEndpoints.kubeletEndpoint.Port}",
        ];
        let port = world.kubectl.run(&node).await?;
        Ok((port == new.port.to_string()).then_some(()))
    })
    .await?;
    eventually("the pod to be reached through it", SOON, async || {
        world
            .kubectl
            .run(&["logs", "--namespace=fail-leader", "web"])
            .await
            .map(Some)
    })
    .await
    .map(drop)
}
