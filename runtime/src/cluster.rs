//! A client for the cluster that a component serves.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Flags that name the cluster a component serves.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// Kubeconfig of the cluster to serve; without it, the pod's own ServiceAccount
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig; without it, the current one
    #[arg(long, env = "KUBE_CONTEXT")]
    pub context: Option<String>,
}

impl ClusterArgs {
    /// A client for the cluster.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let mut config = match &self.kubeconfig {
            Some(path) => {
                let kubeconfig =
                    Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
                let options = KubeConfigOptions {
                    context: self.context.clone(),
                    ..Default::default()
                };
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .with_context(|| format!("--kubeconfig {}", path.display()))?
            }
            None => Config::incluster()
                .context("not inside a cluster, and no --kubeconfig given: write --kubeconfig FILE to run outside")?,
        };
        tune(&mut config);
        Ok(Client::try_from(config)?)
    }
}

/// A server that cannot be reached is noticed within seconds. Requests have no limit here: watches live long, and
/// kube's watcher ends those that fall silent; callers bound their other requests.
pub fn tune(config: &mut Config) {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
}
