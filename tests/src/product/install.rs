//! Applies the manifests to a cluster, as a user does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{NAMESPACE, repository};
use crate::{Cluster, eventually};

/// What a cluster is to the product: one of the overlays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Pods come from it.
    Source,
    /// Pods go to it.
    Target,
    /// Both; it may be its own target.
    Both,
}

impl Role {
    /// The overlay's folder, also the agent's `--roles`.
    pub fn overlay(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Both => "both",
        }
    }

    /// The agent's `--roles`.
    pub fn roles(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Both => "source,target",
        }
    }

    /// Does it run the webhook, the extender and the second scheduler?
    pub fn is_source(self) -> bool {
        self != Self::Target
    }
}

/// The custom resource definitions.
pub fn crds() -> Vec<PathBuf> {
    let dir = repository().join("manifests/chart/files/crds");
    let files = std::fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    files.filter(|path| !path.ends_with("kustomization.yaml")).collect()
}

/// Apply an overlay. What differs from a real installation: no pods (the components run as processes), and webhooks are
/// called on the port of a process.
pub async fn apply_overlay(cluster: &Cluster, overlay: &str, webhook_port: Option<u16>) -> Result<()> {
    let overlay = repository().join("manifests/overlays").join(overlay);
    let yaml = cluster.kubectl(&["kustomize", &overlay.display().to_string()]).await?;
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&yaml).context("the rendered overlay")?;
    for object in &mut objects {
        match object["kind"].as_str() {
            Some("Deployment") => object["spec"]["replicas"] = json!(0),
            Some("MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
                for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
                    webhook["clientConfig"]["service"]["port"] = json!(webhook_port);
                }
            }
            _ => {}
        }
    }
    // A namespace must be there before what is in it.
    let (first, rest): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|o| matches!(o["kind"].as_str(), Some("Namespace" | "CustomResourceDefinition")));
    for items in [first, rest].into_iter().filter(|items| !items.is_empty()) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        cluster.apply_yaml(&list.to_string()).await?;
    }
    Ok(())
}

/// Let the API server call webhooks on the port of a process.
pub async fn call_webhooks_on(cluster: &Cluster, port: u16) -> Result<()> {
    for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}/{NAMESPACE}");
        let object: Value = serde_json::from_str(&cluster.get(&path).await?)?;
        let webhooks = object["webhooks"].as_array().map_or(0, Vec::len);
        let patch: Vec<Value> = (0..webhooks)
            .map(|number| {
                let path = format!("/webhooks/{number}/clientConfig/service/port");
                json!({ "op": "replace", "path": path, "value": port })
            })
            .collect();
        let patch = json!(patch).to_string();
        cluster
            .kubectl(&["patch", kind, NAMESPACE, "--type=json", "--patch", &patch])
            .await?;
    }
    Ok(())
}

/// Wait until cert-manager's cainjector has told the API server whom to trust.
pub async fn wait_for_ca(cluster: &Cluster) -> Result<()> {
    eventually(
        "cainjector to fill in the webhooks' caBundle",
        Duration::from_secs(60),
        async || {
            for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
                let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}/{NAMESPACE}");
                let object: Value = serde_json::from_str(&cluster.get(&path).await?)?;
                let webhooks = object["webhooks"].as_array().cloned().unwrap_or_default();
                if webhooks.iter().any(|webhook| {
                    webhook["clientConfig"]["caBundle"]
                        .as_str()
                        .unwrap_or_default()
                        .is_empty()
                }) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        },
    )
    .await
}

/// The configuration of the second scheduler as shipped, for an extender on this machine and certificates in `tls`.
pub fn scheduler_config(extender_port: u16, tls: &Path) -> Result<String> {
    let path = repository().join("manifests/chart/files/kube-scheduler-config.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut config: Value = serde_saphyr::from_str(&text)?;
    point_at_extender(&mut config, extender_port, tls);
    Ok(config.to_string())
}

/// Point the extenders of a KubeSchedulerConfiguration at a port of this machine.
pub fn point_at_extender(config: &mut Value, port: u16, tls: &Path) {
    for extender in config["extenders"].as_array_mut().into_iter().flatten() {
        extender["urlPrefix"] = json!(format!("https://127.0.0.1:{port}/"));
        for (key, file) in [("caFile", "ca.crt"), ("certFile", "tls.crt"), ("keyFile", "tls.key")] {
            extender["tlsConfig"][key] = json!(tls.join(file));
        }
    }
}
