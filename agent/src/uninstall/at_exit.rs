//! The agent cleans up when it is told to stop because the product is being removed.

use std::time::{Duration, Instant};

use kube::Client;

use super::cleaner::{Cleaner, Reached, marked, until_none};
use super::rights;
use crate::cli::Role;

/// How long a target may take to give back what is ours.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all may take together; the Deployment's terminationGracePeriodSeconds leaves more.
const ALL: Duration = Duration::from_secs(40);

/// What the agent knows at its end.
pub struct Leaving {
    /// This cluster.
    pub client: Client,
    /// What it is.
    pub roles: Vec<Role>,
    /// What it is called in its targets.
    pub cluster_name: String,
    /// Its targets, with the connections that served last: the Secrets may be gone by now.
    pub targets: Vec<Reached>,
}

impl Leaving {
    /// Clean up if the product is being removed; at an ordinary stop nothing happens. Doing it twice, or in two
    /// replicas at a time, does no harm.
    pub async fn clean_up(self) -> anyhow::Result<()> {
        if !rights::are_going(&self.client).await {
            return Ok(());
        }
        tracing::info!("the product is being removed: cleaning up");
        let cleaner = Cleaner::new(self.client.clone(), |message| tracing::info!("{message}"));
        tokio::time::timeout(ALL, self.work(&cleaner)).await??;
        tracing::info!("cleaned up");
        Ok(())
    }

    async fn work(self, cleaner: &Cleaner) -> Result<(), kube::Error> {
        rights::keep_to_the_end(&self.client).await?;
        let deadline = Instant::now() + PATIENCE;
        if self.roles.contains(&Role::Target) {
            until_none(deadline, || cleaner.chaperons()).await?;
            // What is still ending then is the kubelet's: it was asked to.
            until_none(deadline, || cleaner.delegates()).await?;
            cleaner.source_bindings().await?;
            // Sources that are still connected have lost their rights now, and put nothing back.
            until_none(deadline, || cleaner.copies()).await?;
        }
        if self.roles.contains(&Role::Source) {
            cleaner.withdraw(self.targets, &self.cluster_name, PATIENCE).await;
            until_none(deadline + PATIENCE, || cleaner.virtual_nodes()).await?;
            until_none(deadline + PATIENCE, || async { cleaner.proxy_pods(&marked()).await }).await?;
            // From now on plain pods serve, and those that come are found by their plain labels.
            let _ = tokio::time::timeout(PATIENCE, cleaner.originals()).await;
            let _ = tokio::time::timeout(PATIENCE, cleaner.imports(&self.cluster_name)).await;
            let _ = tokio::time::timeout(PATIENCE, cleaner.kubeconfig_secrets()).await;
        }
        rights::release(cleaner, &self.client).await
    }
}
