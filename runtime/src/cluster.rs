//! A client for the cluster that a component serves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::health::Readiness;
use crate::metrics::rest::Counted;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Part of the readiness: the API server of the cluster that is served answers.
pub const API_SERVER: &str = "apiserver";
/// How often it is asked, and how long it may take to answer.
const ASK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(4));
/// After how long without an answer a component is no longer ready: longer than an API server takes to restart.
pub const OUT_OF_TOUCH: Duration = Duration::from_secs(30);

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
        Ok(client(self.config().await?)?)
    }

    /// Where the cluster is, and our credentials there.
    pub async fn config(&self) -> anyhow::Result<Config> {
        let Some(path) = &self.kubeconfig else {
            return Config::incluster()
                .context("not inside a cluster, and no --kubeconfig given: write --kubeconfig FILE to run outside");
        };
        let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..Default::default()
        };
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .with_context(|| format!("--kubeconfig {}", path.display()))
    }
}

/// A client whose requests are counted, and which notices within seconds that its server cannot be reached. Requests
/// have no limit here: watches live long, and kube's watcher ends those that fall silent; callers bound their other
/// requests.
pub fn client(mut config: Config) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let host = config.cluster_url.authority().map(|authority| authority.as_str());
    let counted = Counted::new(host.unwrap_or_default());
    Ok(ClientBuilder::try_from(config)?.with_layer(&counted).build())
}

/// Ask the API server of the cluster that is served whether it is there, until `stop`, and be ready while it is. A
/// component that has lost it decides on what it last knew: its callers had better go to a replica that has not.
pub async fn keep_in_touch(client: Client, readiness: Readiness, stop: CancellationToken) {
    let answered = Arc::new(Mutex::new(None::<Instant>));
    let seen = answered.clone();
    readiness.add(API_SERVER, move || match *seen.lock() {
        Some(last) if last.elapsed() < OUT_OF_TOUCH => Ok(()),
        Some(last) => Err(format!("no answer for {} s", last.elapsed().as_secs())),
        None => Err("no answer yet".into()),
    });
    let mut ticks = tokio::time::interval(ASK.0);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match tokio::time::timeout(ASK.1, client.apiserver_version()).await {
            Ok(Ok(_)) => *answered.lock() = Some(Instant::now()),
            // Who may not ask for the version was heard all the same.
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => *answered.lock() = Some(Instant::now()),
            Ok(Err(error)) => tracing::debug!(%error, "API server"),
            Err(_) => tracing::debug!("API server: no answer within {:?}", ASK.1),
        }
    }
}
