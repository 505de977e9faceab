//! Certificates that the chart makes: believed by the API server, kept by upgrades, renewed in time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use multicluster_api::names;
use serde_json::Value;
use testbed::product::{NAMESPACE, Programs, Role, Seat, call_webhooks_on};
use testbed::{Cluster, ClusterOptions, NodePool, Testbed, completing, eventually, free_port};

use super::helm::{Helm, RELEASE};

const SECRETS: [&str; 4] = [
    "multicluster-ca",
    "multicluster-webhook-tls",
    "multicluster-extender-tls",
    "multicluster-scheduler-client-tls",
];

pub async fn story(helm: Helm) -> Result<()> {
    let testbed = Testbed::new("chart-certificates").await?;
    let mut options = ClusterOptions::new("alone", vec![NodePool::new("alone", 1)]);
    options.kwok_config = vec![completing(Duration::from_millis(300), Duration::ZERO)];
    let cluster = Cluster::start(&testbed, options).await?;
    let chart = helm.chart();
    // There is no cert-manager here, and whoever forgets it is told.
    let forgotten = helm
        .on(&cluster, &["install", RELEASE, &chart, "--create-namespace"])
        .await;
    let answer = format!("{:#}", forgotten.unwrap_err());
    ensure!(
        answer.contains("certificates.mode: certManager, but there is no cert-manager here"),
        "{answer}"
    );

    let mode = ["--set", "certificates.mode=selfManaged"];
    helm.on(
        &cluster,
        &[&["install", RELEASE, &chart, "--create-namespace"][..], &mode].concat(),
    )
    .await?;
    let first = secrets(&cluster).await?;
    let upgrade = ["upgrade", RELEASE, &chart];
    helm.on(&cluster, &[&upgrade[..], &mode].concat()).await?;
    ensure!(
        secrets(&cluster).await? == first,
        "an upgrade has made other certificates"
    );

    // One that ends soon, and then the authority. The annotation is the test's now, and Helm takes it back.
    for (number, secret) in [(1, SECRETS[1]), (0, SECRETS[0])] {
        let before = secrets(&cluster).await?;
        let soon = "multicluster.admiralty.io/renew-after=1";
        cluster
            .kubectl(&["annotate", "secret", "-n", NAMESPACE, secret, soon, "--overwrite"])
            .await?;
        helm.on(&cluster, &[&upgrade[..], &["--force-conflicts"], &mode].concat())
            .await?;
        let after = secrets(&cluster).await?;
        for (other, name) in SECRETS.iter().enumerate() {
            let same = before[other]["tls.crt"] == after[other]["tls.crt"];
            ensure!(same == (other != number), "{name} with {secret} near its end");
        }
        // Its own key stays, so that what it has signed stays valid; and all know the new one.
        ensure!(
            before[0]["tls.key"] == after[0]["tls.key"],
            "the authority has another key"
        );
        for name in 1..SECRETS.len() {
            ensure!(
                after[name]["ca.crt"] == after[0]["tls.crt"],
                "{} knows another authority",
                SECRETS[name]
            );
        }
    }
    believed(cluster).await
}

/// The API server believes the webhook, kube-scheduler the extender, and the extender kube-scheduler.
async fn believed(cluster: Cluster) -> Result<()> {
    let programs = Programs::build(&[]).await?;
    let port = free_port()?;
    call_webhooks_on(&cluster, port).await?;
    let seat = Seat::sit_down(cluster, Role::Both, &programs, 1, Some(port)).await?;
    let pods = r#"
apiVersion: v1
kind: Namespace
metadata: {name: served, labels: {multicluster-scheduler: enabled}}
---
apiVersion: multicluster.admiralty.io/v1alpha1
kind: Target
metadata: {name: itself, namespace: served}
spec: {self: true}
---
apiVersion: v1
kind: Pod
metadata: {name: elected, namespace: served, annotations: {multicluster.admiralty.io/elect: ""}}
spec: {containers: [{name: c, image: i}]}
"#;
    seat.cluster.apply_yaml(pods).await?;
    let pod: Value = serde_json::from_str(&seat.cluster.get("/api/v1/namespaces/served/pods/elected").await?)?;
    ensure!(
        pod["spec"]["schedulerName"] == names::PROXY_SCHEDULER,
        "the webhook was not asked: {pod}"
    );
    // kube-scheduler shows the extender its certificate, which then binds.
    eventually(
        "the pod to run in its own cluster",
        Duration::from_secs(60),
        async || {
            let pod: Value = serde_json::from_str(&seat.cluster.get("/api/v1/namespaces/served/pods/elected").await?)?;
            let bound = pod["spec"]["nodeName"] == "admiralty-served-itself";
            Ok((bound && pod["status"]["phase"] == "Running").then_some(()))
        },
    )
    .await
}

async fn secrets(cluster: &Cluster) -> Result<Vec<Value>> {
    let mut all = vec![];
    for secret in SECRETS {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{secret}");
        let object: Value = serde_json::from_str(&cluster.get(&path).await.context(secret)?)?;
        all.push(object["data"].clone());
    }
    Ok(all)
}
