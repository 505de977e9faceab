//! metrics-server, as its manifests install it: a ServiceAccount of its own with these rights, the metrics API by way of an
//! APIService.
//!
//! NOTE: an APIService's Service may be of type ExternalName, as a webhook's may (see `apiserver` in
//! `components`): the aggregator calls that name, at the port that the APIService gives, and looks at
//! endpoints of ClusterIP Services alone (k8s.io/kube-aggregator, remote_available_controller). So it runs as a process here.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Cluster, Process, eventually, free_port};

/// Its namespace, its ServiceAccount and its Service are called as in its manifests.
pub const NAMESPACE: &str = "kube-system";
/// Its name.
pub const NAME: &str = "metrics-server";
/// How often it reads kubelets: as often as it can.
const RESOLUTION: &str = "10s";
/// How long it may take until it answers.
const READY: Duration = Duration::from_secs(60);

/// The rights of its manifests (manifests/base/rbac.yaml).
pub const RIGHTS: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: metrics-server, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:metrics-server"}
rules:
- {apiGroups: [""], resources: [nodes/metrics], verbs: [get]}
- {apiGroups: [""], resources: [pods, nodes], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:metrics-server"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:metrics-server"}
subjects: [{kind: ServiceAccount, name: metrics-server, namespace: kube-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "metrics-server:system:auth-delegator"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:auth-delegator"}
subjects: [{kind: ServiceAccount, name: metrics-server, namespace: kube-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: metrics-server-auth-reader, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: metrics-server, namespace: kube-system}]
"#;

/// Its arguments, wherever it runs. The virtual nodes' port is in their status, and which path is theirs in an annotation.
pub fn arguments(port: u16) -> Vec<String> {
    vec![
        format!("--secure-port={port}"),
        "--kubelet-use-node-status-port".into(),
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--metric-resolution={RESOLUTION}"),
        // Less than the resolution, and more than an agent waits for a target.
        "--kubelet-request-timeout=5s".into(),
    ]
}

/// The metrics API, served at this port of its Service; `authority` (PEM) has signed its certificate, which is for
/// [`host`].
pub fn api_service(port: u16, authority: &str) -> String {
    let authority = crate::product::base64(authority);
    format!(
        r#"
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1beta1.metrics.k8s.io}}
spec:
  service: {{namespace: {NAMESPACE}, name: {NAME}, port: {port}}}
  caBundle: {authority}
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
"#
    )
}

/// The name that the aggregator calls it by.
pub fn host() -> String {
    format!("{NAME}.{NAMESPACE}.svc")
}

/// A running metrics-server. Dropped, it is killed; its APIService stays.
pub struct MetricsServer {
    /// The process.
    pub process: Process,
}

impl MetricsServer {
    /// Start it for a cluster whose programs include it ([`Binaries::with_metrics_server`](crate::Binaries)), and wait until
    /// the API server serves the metrics API.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let binaries = cluster.testbed().binaries().with_metrics_server().await?;
        cluster.apply_yaml(RIGHTS).await?;
        let dir = cluster.log_dir().join(NAME);
        std::fs::create_dir_all(&dir)?;
        cluster.authority().server(NAME, &[&host()])?.write(&dir, "tls")?;
        let kubeconfig = dir.join("kubeconfig");
        std::fs::write(&kubeconfig, cluster.service_account_kubeconfig(NAMESPACE, NAME).await?)?;
        let port = free_port()?;
        let mut args = arguments(port);
        args.extend([
            "--bind-address=127.0.0.1".into(),
            "--kubelet-insecure-tls".into(),
            format!("--tls-cert-file={}", dir.join("tls.crt").display()),
            format!("--tls-private-key-file={}", dir.join("tls.key").display()),
        ]);
        for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            args.push(format!("--{flag}={}", kubeconfig.display()));
        }
        let name = format!("{NAME} of cluster {}", cluster.name());
        let log = cluster.log_dir().join("metrics-server.log");
        let process = Process::spawn(&name, &binaries.find(NAME)?, args, [], log)?;
        let server = Self { process };
        cluster.expose_local(NAMESPACE, NAME, port).await?;
        let authority = &cluster.authority().pair().certificate;
        cluster.apply_yaml(&api_service(port, authority)).await?;
        server.serves(cluster).await?;
        Ok(server)
    }

    async fn serves(&self, cluster: &Cluster) -> Result<()> {
        let what = format!("the metrics API of cluster {}", cluster.name());
        eventually(&what, READY, async || {
            self.process.check()?;
            let answer = cluster.get("/apis/metrics.k8s.io/v1beta1").await;
            answer.map(Some).context("the metrics API")
        })
        .await
        .map(drop)
    }

    /// End it, and take the metrics API out of the cluster.
    pub async fn remove(self, cluster: &Cluster) -> Result<()> {
        cluster
            .kubectl(&["delete", "apiservice", "v1beta1.metrics.k8s.io"])
            .await?;
        self.process.stop().await.map(drop)
    }
}
