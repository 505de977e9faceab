//! An installation is checked, healthy and damaged.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::eventually;

use super::harness::alone;
use super::world::{SOON, Test, World};

pub fn tests() -> Vec<Test> {
    vec![alone("an_installation_is_checked", checked)]
}

async fn checked(world: Arc<World>) -> Result<()> {
    world.namespace("checked").await?;
    let source = world.source();
    source
        .kubectl(&["label", "namespace", "checked", "multicluster-scheduler=enabled"])
        .await?;
    for context in ["management", "us", "eu"] {
        let healthy = world
            .cli(&["check", "--context", context, "-o", "json"])
            .await?
            .json(0)?;
        ensure!(errors(&healthy).is_empty(), "{healthy}");
    }
    let found = async |check: &str| {
        eventually(&format!("{check} to be found"), SOON, async || {
            let report = world.cli(&["check", "-o", "json"]).await?.json(1)?;
            ensure!(
                errors(&report).iter().any(|found| found == check),
                "no {check}: {report}"
            );
            Ok(Some(()))
        })
        .await
    };
    // A role.
    let binding = taken(&world, "clusterrolebinding", "multicluster-extender", None).await?;
    found("permissions of multicluster-extender").await?;
    source.apply_yaml(&binding.to_string()).await?;
    // A certificate, and what would make it anew.
    let ns = Some("multicluster-scheduler");
    let certificate = taken(&world, "certificate", "multicluster-extender", ns).await?;
    taken(&world, "secret", "multicluster-extender-tls", ns).await?;
    found("certificate multicluster-extender-tls").await?;
    source.apply_yaml(&certificate.to_string()).await?;
    // A definition that a source does without.
    let definition = taken(&world, "crd", "clustersources.multicluster.admiralty.io", None).await?;
    found("definitions").await?;
    source.apply_yaml(&definition.to_string()).await?;
    // The webhook's process.
    let webhook = &world.product.source.front()?.webhook.all()[0].process;
    webhook.kill().await?;
    found("webhook").await?;
    webhook.start()?;
    eventually("nothing to be wrong any more", SOON, async || {
        let report = world.cli(&["check", "-o", "json"]).await?;
        ensure!(report.code == 0, "{}", report.out);
        Ok(Some(()))
    })
    .await
}

/// Delete an object. Returns what is needed to have it again.
async fn taken(world: &World, kind: &str, name: &str, namespace: Option<&str>) -> Result<Value> {
    let place = ["-n", namespace.unwrap_or("default")];
    let object = world
        .source()
        .kubectl(&[&["get", kind, name, "-o", "json"][..], &place].concat())
        .await?;
    world
        .source()
        .kubectl(&[&["delete", kind, name][..], &place].concat())
        .await?;
    let mut object: Value = serde_json::from_str(&object)?;
    let metadata = object["metadata"].as_object_mut().context("metadata")?;
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
        "finalizers",
    ] {
        metadata.remove(field);
    }
    object.as_object_mut().context("object")?.remove("status");
    Ok(object)
}

fn errors(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let errors = findings.iter().filter(|finding| finding["level"] == "error");
    errors
        .map(|finding| finding["check"].as_str().unwrap_or_default().to_owned())
        .collect()
}
