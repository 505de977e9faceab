//! Removes the product from a cluster, as a user does, and installs it again.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use tokio::process::Command;

use super::seat::identity;
use super::{NAMESPACE, Replicas, Seat, install, repository};
use crate::{Process, eventually};

/// How long a controller may take to notice.
const SOON: Duration = Duration::from_secs(60);

impl Seat {
    /// `kubectl delete -k`, straight away. An error when something is not gone in time.
    pub async fn delete_manifests(&self, timeout: Duration) -> Result<()> {
        let overlay = repository().join("manifests/overlays").join(self.role.overlay());
        let (overlay, timeout) = (
            overlay.display().to_string(),
            format!("--timeout={}s", timeout.as_secs()),
        );
        self.cluster
            .kubectl(&["delete", "--ignore-not-found", &timeout, "-k", &overlay])
            .await
            .map(drop)
    }

    /// [`Seat::delete_manifests`], while kubelets end the pods of the Deployments that went.
    pub async fn uninstall(&self, timeout: Duration) -> Result<()> {
        let (deleted, ended) = tokio::join!(self.delete_manifests(timeout), self.end_with_deployments());
        ended.and(deleted)
    }

    /// Ends the components when the agent's Deployment goes, as kubelets do.
    pub async fn end_with_deployments(&self) -> Result<()> {
        let deployments = Api::<Deployment>::namespaced(self.cluster.client(), NAMESPACE);
        eventually("the agent's Deployment to go", SOON, async || {
            let found = deployments.get_opt("multicluster-agent").await?;
            Ok(found
                .is_none_or(|found| found.metadata.deletion_timestamp.is_some())
                .then_some(()))
        })
        .await?;
        // Each gets more time from its kubelet than a testbed's process gets by `stop`.
        for process in self.processes() {
            process.signal(nix::sys::signal::Signal::SIGTERM)?;
        }
        for process in self.processes() {
            let status = tokio::time::timeout(SOON, process.wait())
                .await
                .with_context(|| format!("{} does not end", process.name()))?;
            ensure!(status.success(), "{} ended with {status}", process.name());
        }
        Ok(())
    }

    fn processes(&self) -> Vec<&Process> {
        let front = self.front.iter().flat_map(|front| [&front.webhook, &front.extender]);
        let replicas = std::iter::once(&self.agent).chain(front).flat_map(Replicas::all);
        let scheduler = self.front.iter().map(|front| &front.scheduler);
        replicas.map(|replica| &replica.process).chain(scheduler).collect()
    }

    /// `make uninstall`'s program, as an administrator. Returns what it prints; an error when something is left.
    pub async fn uninstaller(&self, args: &[&str]) -> Result<String> {
        self.uninstall_with(&self.cluster.kubeconfig(), args).await
    }

    /// The same, as one of the product's ServiceAccounts.
    pub async fn uninstaller_as(&self, account: &str, args: &[&str]) -> Result<String> {
        self.uninstall_with(&identity(&self.cluster, account).await?, args)
            .await
    }

    async fn uninstall_with(&self, kubeconfig: &Path, args: &[&str]) -> Result<String> {
        let output = Command::new(self.programs().find("multicluster-agent"))
            .arg("uninstall")
            .args(args)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--cluster-name", self.cluster.name()])
            .kill_on_drop(true)
            .output()
            .await?;
        let (printed, complaints) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        ensure!(output.status.success(), "{}: {printed}{complaints}", output.status);
        Ok(printed)
    }

    /// Install again what was removed, and start the components with their new identities.
    pub async fn reinstall(&self) -> Result<()> {
        let (cluster, dir) = (&self.cluster, self.dir());
        let webhook_port = self.front.as_ref().map(|front| front.webhook_port);
        install::apply_overlay(cluster, self.role.overlay(), webhook_port).await?;
        let mut accounts = vec!["multicluster-agent"];
        if let Some(front) = &self.front {
            for secret in [
                "multicluster-webhook-tls",
                "multicluster-extender-tls",
                "multicluster-scheduler-client-tls",
            ] {
                cluster.secret_to_dir(NAMESPACE, secret, &dir.join(secret)).await?;
            }
            cluster
                .expose_local(NAMESPACE, "multicluster-webhook", front.webhook_port)
                .await?;
            install::wait_for_ca(cluster).await?;
            accounts.extend(["multicluster-extender", "multicluster-kube-scheduler"]);
        }
        for account in accounts {
            identity(cluster, account).await?;
        }
        for process in self.processes() {
            process.start()?;
        }
        self.wait_ready().await
    }
}
