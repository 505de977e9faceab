//! What tests do with a cluster's objects: apply, ask for credentials, wait for secrets, expose local servers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Secret, Service, ServiceAccount},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{Cluster, wait::eventually};

/// How long controllers may take to make what they make at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);
/// The life of a service account's token.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

impl Cluster {
    /// Runs kubectl with all rights and returns what it prints.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_with_input(args, "").await
    }

    /// [`kubectl`](Self::kubectl), with text on its standard input.
    pub async fn kubectl_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(self.testbed().binaries().find("kubectl")?);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--cache-dir")
            .arg(self.log_dir().join("kubectl-cache"));
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().context("kubectl's standard input")?;
        let write = async move {
            // A kubectl that does not read says why by its exit status.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {} in cluster {}: {message}", args.join(" "), self.name());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Applies a kustomization, on the server's side.
    pub async fn apply_kustomize(&self, dir: &Path) -> Result<()> {
        let dir = dir.display().to_string();
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &dir])
            .await
            .map(drop)
    }

    /// Applies objects, on the server's side.
    pub async fn apply_yaml(&self, yaml: &str) -> Result<()> {
        self.kubectl_with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], yaml)
            .await
            .map(drop)
    }

    /// Applies custom resource definitions (files or folders) and waits until the API server serves them.
    pub async fn apply_crds(&self, paths: &[PathBuf]) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let paths: Vec<String> = paths
            .iter()
            .map(|path| format!("--filename={}", path.display()))
            .collect();
        let paths = paths.iter().map(String::as_str);
        let apply: Vec<&str> = ["apply", "--server-side", "--force-conflicts"]
            .into_iter()
            .chain(paths.clone())
            .collect();
        self.kubectl(&apply).await?;
        let wait: Vec<&str> = ["wait", "--for=condition=established"]
            .into_iter()
            .chain(paths)
            .collect();
        self.kubectl(&wait).await.map(drop)
    }

    /// A kubeconfig (YAML) with a token of a service account, valid for a day. Waits for the account to exist.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let what = format!("the service account {namespace}/{name}");
        eventually(&what, SOON, async || Ok(accounts.get_opt(name).await?)).await?;
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer: TokenRequest = accounts
            .create_subresource("token", name, &PostParams::default(), &request)
            .await?;
        let token = answer
            .status
            .and_then(|status| status.token)
            .context("the API server answered no token")?;
        self.server()
            .with_token(&format!("system:serviceaccount:{namespace}:{name}"), &token)
    }

    /// Waits for a TLS secret and writes its entries (`tls.crt`, `tls.key`, `ca.crt`) as files, as a mounted volume has them.
    pub async fn secret_to_dir(&self, namespace: &str, name: &str, dir: &Path) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client(), namespace);
        let data = eventually(&format!("the secret {namespace}/{name}"), SOON, async || {
            let data = secrets
                .get_opt(name)
                .await?
                .and_then(|secret| secret.data)
                .unwrap_or_default();
            let complete = ["tls.crt", "tls.key", "ca.crt"]
                .iter()
                .all(|key| data.contains_key(*key));
            Ok(complete.then_some(data))
        })
        .await?;
        fs::create_dir_all(dir)?;
        for (key, value) in data {
            fs::write(dir.join(key), value.0)?;
        }
        Ok(())
    }

    /// Makes a Service lead to a server on this machine, so that the API server's webhook calls reach it.
    ///
    /// The Service becomes one of type ExternalName. The API server then calls the port that the *webhook configuration*
    /// names (`clientConfig.service.port`), so that must be `port`; it still verifies the server's certificate for
    /// `<service>.<namespace>.svc`. `port` is written to the Service too, for people who look at it.
    pub async fn expose_local(&self, namespace: &str, service: &str, port: u16) -> Result<()> {
        let services: Api<Service> = Api::namespaced(self.client(), namespace);
        if services.get_opt(service).await?.is_some() {
            services.delete(service, &DeleteParams::default()).await?;
        }
        let object = serde_json::from_value(json!({
            "metadata": { "name": service },
            "spec": {
                "type": "ExternalName",
                "externalName": "localhost",
                "ports": [{ "name": "https", "port": port }],
            },
        }))?;
        services.create(&PostParams::default(), &object).await?;
        Ok(())
    }
}
