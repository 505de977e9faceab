//! The authenticating proxy of a target: the way in for identities that the source issues.

use std::path::PathBuf;

use anyhow::{Context, Result};
use multicluster_api::names;
use serde_json::{Value, json};

use super::seat::{identity, serving_env, spawn_all};
use super::{NAMESPACE, Replicas, Seat, admin_get, base64, install};
use crate::balancer::Balancer;
use crate::wire::Door;
use crate::{KeyPair, Link, free_port};

/// The overlay with the proxy's manifests.
const OVERLAY: &str = "authproxy";
/// The Secret with its serving certificate.
const SERVING: &str = "multicluster-authproxy-tls";

/// The authenticating proxy of a target, as processes.
pub struct Authproxy {
    /// Its replicas.
    pub replicas: Replicas,
    /// Where it is called: the only replica's port, or that of the balancer before them.
    pub port: u16,
    tls: PathBuf,
    _balancer: Option<Balancer>,
}

impl Authproxy {
    /// Its URL on this machine.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The name in its serving certificate.
    pub fn server_name() -> String {
        format!("{}.{NAMESPACE}.svc", names::AUTHPROXY)
    }

    /// The authority of its serving certificate, in PEM.
    pub fn authority(&self) -> Result<String> {
        let path = self.tls.join("ca.crt");
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// The proxy, called with this certificate.
    pub fn door(&self, certificate: Option<&KeyPair>) -> Result<Door> {
        Door::new(self.port, &Self::server_name(), &self.authority()?, certificate)
    }

    /// A kubeconfig (JSON, which is YAML too) that leads to it, with these credentials, for a namespace.
    pub fn kubeconfig(&self, credentials: &Value, namespace: &str) -> Result<String> {
        let cluster = json!({
            "server": self.url(),
            "certificate-authority-data": base64(&self.authority()?),
            "tls-server-name": Self::server_name(),
        });
        let context = json!({ "cluster": "proxy", "user": "caller", "namespace": namespace });
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{ "name": "proxy", "cluster": cluster }],
            "users": [{ "name": "caller", "user": credentials }],
            "contexts": [{ "name": "proxy", "context": context }],
        });
        Ok(config.to_string())
    }

    /// Metrics of the first replica.
    pub async fn metrics(&self) -> Result<String> {
        admin_get(self.replicas.all()[0].admin_port, "/metrics").await
    }

    /// All that its replicas have logged so far.
    pub fn logs(&self) -> Result<String> {
        let logs = self.replicas.all().iter();
        logs.map(|replica| Ok(std::fs::read_to_string(replica.log())?))
            .collect()
    }
}

impl Seat {
    /// Install the proxy beside the agent, with so many replicas, and wait until they are ready. Its way to the API server
    /// may be a link that a test can disturb.
    pub async fn start_authproxy(&mut self, replicas: usize, link: Option<&Link>) -> Result<()> {
        let cluster = &self.cluster;
        if cluster.component(crate::Component::CertManager).is_err() {
            cluster.install_cert_manager().await?;
        }
        install::apply_overlay(cluster, OVERLAY, None).await?;
        let tls = self.dir().join(SERVING);
        cluster.secret_to_dir(NAMESPACE, SERVING, &tls).await?;
        let kubeconfig = identity(cluster, names::AUTHPROXY).await?;
        if let Some(link) = link {
            let direct = std::fs::read_to_string(&kubeconfig)?;
            std::fs::write(&kubeconfig, link.through(cluster, &direct))?;
        }
        let port = free_port()?;
        let ports = match replicas {
            1 => vec![port],
            _ => (0..replicas).map(|_| free_port()).collect::<Result<_>>()?,
        };
        let mut env = serving_env(&tls, replicas);
        env.extend([
            ("KUBECONFIG", kubeconfig.display().to_string()),
            // Less than a testbed's process gets by `stop`.
            ("GRACE_SECONDS", "2".to_owned()),
            ("MALLOC_ARENA_MAX", "1".to_owned()),
            ("MALLOC_TRIM_THRESHOLD_", "65536".to_owned()),
        ]);
        let replicas = spawn_all(cluster, self.programs(), names::AUTHPROXY, &env, &ports)?;
        replicas.wait_ready().await?;
        let balancer = match replicas.all().len() {
            1 => None,
            _ => Some(Balancer::start(port, &replicas.endpoints()).await?),
        };
        self.authproxy = Some(Authproxy {
            replicas,
            port,
            tls,
            _balancer: balancer,
        });
        Ok(())
    }

    /// The proxy.
    pub fn authproxy(&self) -> Result<&Authproxy> {
        self.authproxy.as_ref().context("this cluster has no proxy")
    }
}
