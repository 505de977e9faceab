//! Renders what is generated from the chart: the overlays for kustomize, and the page about its values.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::Binaries;
use crate::product::repository;

mod values;

pub use values::{Described, described};

const HEADER: &str = "# Generated from manifests/chart: change it there and run `make manifests`.\n";

/// What the overlays have in common: names without a registry, and what an overlay's folder brings by other ways.
const OVERLAY: [&str; 6] = [
    "crds.install=false",
    "namespace.create=true",
    "scheduler.image.registry=",
    // An overlay is for no cluster in particular.
    "scheduler.image.tag=v1.36.3",
    "authproxy.inClusterOnly=true",
    "uninstall.hook=false",
];

/// One file that Helm renders: where, with which values, and only the documents that hold some text.
struct Rendered {
    file: &'static str,
    values: &'static [&'static str],
    only: &'static str,
}

const RENDERED: [Rendered; 6] = [
    Rendered {
        file: "manifests/overlays/source/rendered.yaml",
        values: &["role=source"],
        only: "",
    },
    Rendered {
        file: "manifests/overlays/target/rendered.yaml",
        values: &["role=target"],
        only: "",
    },
    Rendered {
        file: "manifests/overlays/both/rendered.yaml",
        values: &["role=both"],
        only: "",
    },
    Rendered {
        file: "manifests/overlays/authproxy/rendered.yaml",
        values: &["role=target", "authproxy.enabled=true"],
        only: "app.kubernetes.io/component: authproxy",
    },
    Rendered {
        file: "manifests/monitoring/pod-monitor.yaml",
        values: &["monitoring.podMonitor.enabled=true"],
        only: "/templates/monitoring/",
    },
    Rendered {
        file: "manifests/monitoring/prometheus-rule.yaml",
        values: &["monitoring.prometheusRule.enabled=true"],
        only: "/templates/monitoring/",
    },
];

/// Files of the chart that are somewhere else, too.
const COPIED: [(&str, &str); 2] = [
    (
        "manifests/chart/files/own-scheduler-config.yaml",
        "manifests/own-scheduler/kube-scheduler-config.yaml",
    ),
    (
        "manifests/chart/files/monitoring/dashboard.json",
        "manifests/monitoring/dashboard.json",
    ),
];

const VALUES: &str = "docs/chart-values.md";

/// Write all that is generated from the chart, or only check that it is as it would be written.
pub async fn generate(check: bool) -> Result<()> {
    let root = repository();
    let mut stale = vec![];
    for (file, text) in all(&root).await? {
        let path = root.join(&file);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        stale.push(file);
        if !check {
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
    }
    ensure!(
        !check || stale.is_empty(),
        "not what the chart renders: {}; run make manifests",
        stale.join(", ")
    );
    Ok(())
}

async fn all(root: &Path) -> Result<BTreeMap<String, String>> {
    let helm = Binaries::helm().await?;
    let mut all = BTreeMap::new();
    for rendered in RENDERED {
        let mut command = Command::new(&helm);
        command.args(["template", "multicluster-scheduler"]);
        command.arg(root.join("manifests/chart"));
        command.args(["--namespace", "multicluster-scheduler"]);
        for value in OVERLAY.iter().chain(rendered.values) {
            command.args(["--set", value]);
        }
        let output = command.kill_on_drop(true).output().await?;
        let text = String::from_utf8(output.stdout)?;
        if !output.status.success() {
            bail!("{}: {}", rendered.file, String::from_utf8_lossy(&output.stderr));
        }
        all.insert(rendered.file.to_owned(), tidy(&text, rendered.only));
    }
    for (from, to) in COPIED {
        let text = fs::read_to_string(root.join(from)).with_context(|| from.to_owned())?;
        all.insert(to.to_owned(), text);
    }
    let values = fs::read_to_string(root.join("manifests/chart/values.yaml"))?;
    all.insert(VALUES.to_owned(), values::page(&described(&values)?));
    Ok(all)
}

/// The documents that hold some text, without what Helm writes between them and the lines that templates leave empty.
fn tidy(rendered: &str, only: &str) -> String {
    let mut documents = vec![];
    for document in rendered.split("---\n").filter(|document| !document.trim().is_empty()) {
        if !document.contains(only) {
            continue;
        }
        let lines = document.lines().filter(|line| !line.starts_with("# Source:"));
        let lines = lines.map(str::trim_end).filter(|line| !line.is_empty());
        documents.push(lines.fold(String::new(), |text, line| text + line + "\n"));
    }
    format!("{HEADER}{}", documents.join("---\n"))
}
