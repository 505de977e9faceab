//! Why a pod is where it is, or why it is pending.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::eventually;

use super::fixtures::Template;
use super::harness::alone;
use super::world::{SOON, Test, World};

pub fn tests() -> Vec<Test> {
    vec![alone("pods_that_do_not_run_are_explained", pods)]
}

async fn pods(world: Arc<World>) -> Result<()> {
    let ns = "explained";
    world.namespace(ns).await?;
    let explain = async |pod: &str| world.cli(&["explain", pod, "-n", ns, "-o", "json"]).await?.json(0);
    let until = async |pod: &str, what: &str, so: &dyn Fn(&Value) -> bool| {
        eventually(what, SOON, async || {
            let explained = explain(pod).await?;
            ensure!(so(&explained), "{explained}");
            Ok(Some(()))
        })
        .await
    };
    world.apply(&Template::ordinary().pod(ns, "ordinary")).await?;
    ensure!(explain("ordinary").await?["state"] == "NotElected");
    world.apply(&Template::elected().pod(ns, "early")).await?;
    let early = explain("early").await?;
    ensure!(
        early["state"] == "NotReviewed"
            && early["advice"][0]
                .as_str()
                .is_some_and(|a| a.contains("label namespace")),
        "{early}"
    );
    world
        .source()
        .kubectl(&["label", "namespace", ns, "multicluster-scheduler=enabled"])
        .await?;
    world.apply(&Template::elected().pod(ns, "nowhere")).await?;
    let nowhere = explain("nowhere").await?;
    ensure!(
        nowhere["summary"]
            .as_str()
            .is_some_and(|text| text.contains("no Target serves")),
        "{nowhere}"
    );
    world
        .cli(&["explain", "missing", "-n", ns])
        .await?
        .expect(1)?
        .says("no pod missing")?;
    // A target that does not get ready.
    world
        .connect(ns, "eu", &["--server", "https://127.0.0.1:1", "--wait=false"])
        .await?
        .expect(0)?;
    until("nowhere", "the target to be blamed", &|explained| {
        explained["targets"][0]["reasons"][0]
            .as_str()
            .is_some_and(|why| why.contains("APIServerUnreachable"))
    })
    .await?;
    let status = world.cli(&["status", "-o", "json"]).await?.json(1)?;
    ensure!(
        status["targets"][0]["ready"] == false && status["targets"][0]["reason"] == "APIServerUnreachable",
        "{status}"
    );
    // Repaired: it runs, and one that fits nowhere does not.
    world.connect(ns, "eu", &[]).await?.expect(0)?;
    let selector = Template::elected().spec("nodeSelector", json!({ "size": "huge" }));
    world.apply(&selector.pod(ns, "huge")).await?;
    until("huge", "the extender's reason", &|explained| {
        explained["state"] == "Pending" && explained["events"][0]["reason"] == "FailedScheduling"
    })
    .await?;
    until("nowhere", "the pod to be placed", &|explained| {
        explained["state"] == "Placed"
    })
    .await?;
    world
        .source()
        .kubectl(&["delete", "pods", "--all", "-n", ns, "--wait=false"])
        .await?;
    world
        .cli(&["disconnect", "eu", "-n", ns, "--target", "eu", "--yes"])
        .await?
        .expect(0)
        .map(drop)
}
