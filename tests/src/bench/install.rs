//! How much a node pulls, and how long Helm takes until everything of a source is ready, in a cluster with a real node.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::summary::{Goal, Summary};
use crate::product::repository;
use crate::real::{self, Cluster, Options, Site};

/// All components.
const IMAGES: [&str; 4] = ["webhook", "extender", "agent", "authproxy"];

/// Measure both.
pub async fn measure(summary: &mut Summary) -> Result<()> {
    if let Some(reason) = real::missing() {
        println!("skipped: {reason}");
        return Ok(());
    }
    let images = real::product_images(&IMAGES).await?;
    summary.goal("image_mb", real::layers_size(&images)? as f64 / 1e6, Goal::AtMost(40.0));

    let site = Site::new("bench-install").await?;
    let testbed = site.testbed().clone();
    let more = real::cert_manager_images(&testbed)?;
    let scheduler = real::kube_scheduler_image(&testbed)?;
    let all = images.iter().chain(&more).chain([&scheduler]);
    let options = all.fold(Options::new("source"), |options, image| options.image(image));
    let cluster = Cluster::start(&site, options).await?;
    cluster.install_cert_manager_pods().await?;
    let wait = [
        "wait",
        "deployment",
        "--namespace=cert-manager",
        "--all",
        "--for=condition=Available",
        "--timeout=3m",
    ];
    cluster.kubectl(&wait).await?;
    let helm = testbed.binaries().with_helm().await?.find("helm")?;
    let begin = Instant::now();
    let output = Command::new(helm)
        .args(["install", "multicluster-scheduler"])
        .arg(repository().join("manifests/chart"))
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .args([
            "--namespace",
            "multicluster-scheduler",
            "--create-namespace",
            "--set",
            "role=source",
        ])
        .args(["--wait", "--timeout", "5m"])
        .output()
        .await
        .context("helm")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    summary.note("install_to_ready_s", begin.elapsed().as_secs_f64());
    cluster.stop().await
}
