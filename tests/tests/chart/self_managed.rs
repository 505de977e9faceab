//! Certificates that the chart makes: believed by the API server, kept by upgrades, renewed in time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::product::{NAMESPACE, Programs, Role, Seat, call_webhooks_on};
use testbed::{Cluster, ClusterOptions, Testbed, free_port};

use super::helm::{Helm, RELEASE};

const SECRETS: [&str; 4] = [
    "multicluster-ca",
    "multicluster-webhook-tls",
    "multicluster-extender-tls",
    "multicluster-scheduler-client-tls",
];

pub async fn story(helm: Helm) -> Result<()> {
    let testbed = Testbed::new("chart-certificates").await?;
    let cluster = Cluster::start(&testbed, ClusterOptions::new("alone", vec![])).await?;
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

/// The API server believes the webhook, the extender kube-scheduler, and the programs read all of it.
async fn believed(cluster: Cluster) -> Result<()> {
    let programs = Programs::build(&[]).await?;
    let port = free_port()?;
    call_webhooks_on(&cluster, port).await?;
    let seat = Seat::sit_down(cluster, Role::Both, &programs, 1, Some(port)).await?;
    let both = "{apiVersion: multicluster.admiralty.io/v1alpha1, kind: ClusterTarget, metadata: {name: wrong}, spec: \
        {self: true, kubeconfigSecret: {name: a, namespace: b}}}";
    let refused = seat.cluster.apply_yaml(both).await;
    let answer = format!("{:#}", refused.unwrap_err());
    ensure!(
        answer.contains("validate.clustertargets.multicluster.admiralty.io") || answer.contains("self"),
        "{answer}"
    );
    testbed::eventually("the scheduler to be served", Duration::from_secs(60), async || {
        let metrics = seat.metrics().await?;
        Ok(metrics
            .iter()
            .any(|(name, text)| *name == "extender" && !text.is_empty())
            .then_some(()))
    })
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
