//! Helm and the chart.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use testbed::product::{NAMESPACE, repository};
use testbed::{Binaries, Cluster};
use tokio::process::Command;

/// The name of the release.
pub const RELEASE: &str = "multicluster-scheduler";

/// Helm with this repository's chart.
pub struct Helm {
    program: PathBuf,
    home: tempfile::TempDir,
}

impl Helm {
    pub async fn new() -> Result<Self> {
        Ok(Self {
            program: Binaries::helm().await?,
            home: tempfile::tempdir()?,
        })
    }

    /// The chart's folder.
    pub fn chart(&self) -> String {
        repository().join("manifests/chart").display().to_string()
    }

    /// Run Helm in the product's namespace. An error says what Helm said.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        // Nothing of who runs the tests: no repositories, plugins or cluster of theirs.
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, self.home.path());
        }
        command.env("KUBECONFIG", "/dev/null").args(args).kill_on_drop(true);
        let output = command.output().await?;
        if !output.status.success() {
            bail!("helm {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Run Helm for the release in a cluster.
    pub async fn on(&self, cluster: &Cluster, args: &[&str]) -> Result<String> {
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let access = ["--kubeconfig", &kubeconfig, "--namespace", NAMESPACE];
        self.run(&[args, &access].concat()).await
    }

    /// The objects that values (each `--set` or `--set-json`) render.
    pub async fn template(&self, values: &[&str]) -> Result<Vec<Value>> {
        let chart = self.chart();
        let mut args = vec!["template", RELEASE, &chart, "--namespace", NAMESPACE];
        for value in values {
            args.extend([if is_json(value) { "--set-json" } else { "--set" }, value]);
        }
        let text = self.run(&args).await?;
        serde_saphyr::from_multiple(&text).context("what Helm renders")
    }

    /// A package of the chart as a version, in a folder.
    pub async fn package(&self, version: &str, folder: &std::path::Path) -> Result<String> {
        let (chart, folder_name) = (self.chart(), folder.display().to_string());
        self.run(&["package", &chart, "--version", version, "--destination", &folder_name])
            .await?;
        Ok(folder.join(format!("{RELEASE}-{version}.tgz")).display().to_string())
    }
}

/// Is this `name=JSON`?
fn is_json(value: &str) -> bool {
    let given = value.split_once('=').map_or("", |(_, given)| given);
    given.starts_with(['{', '[', '"']) || given == "null"
}

/// `Kind namespace/name`, the namespace only where it is not the product's.
pub fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) if namespace != NAMESPACE => format!("{kind} {namespace}/{name}"),
        _ => format!("{kind} {name}"),
    }
}
