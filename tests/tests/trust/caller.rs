//! Somebody with an authority of their own, whom a target believes in one namespace.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::product::{Authproxy, base64, credentials, object};
use testbed::wire::Door;
use testbed::{Authority, KeyPair, eventually};

use super::kubectl::Kubectl;
use super::world::{SOON, World};

/// Somebody whom a target believes in one namespace, and who may do everything there.
pub struct Caller {
    /// The target.
    pub target: &'static str,
    /// Whether a Source names it; else its provider itself does. Whom a Source names may not write what others own.
    pub sends: bool,
    /// The namespace, of the caller and of what was made for it.
    pub namespace: &'static str,
    /// Who signs certificates for it.
    pub authority: Authority,
    /// Its certificate.
    pub pair: KeyPair,
    /// What its names begin with.
    pub prefix: String,
    /// The user it is in the target.
    pub user: String,
    /// kubectl with its certificate.
    pub kubectl: Kubectl,
    /// The proxy, called with its certificate.
    pub door: Door,
}

impl World {
    /// Make a namespace in a target, and a source to call it.
    pub async fn caller(&self, target: &'static str, namespace: &'static str) -> Result<Caller> {
        self.somebody(target, namespace, true).await
    }

    /// Make a namespace in a target, and somebody to call it who is no source.
    pub async fn guest(&self, target: &'static str, namespace: &'static str) -> Result<Caller> {
        self.somebody(target, namespace, false).await
    }

    async fn somebody(&self, target: &'static str, namespace: &'static str, sends: bool) -> Result<Caller> {
        let authority = Authority::new(namespace)?;
        let pair = authority.client(&format!("ns/{namespace}/id/default"), None)?;
        let prefix = format!("spiffe://{namespace}/");
        let user = format!("{prefix}ns/{namespace}/id/default");
        let kubeconfig = self.kubeconfig(target, namespace, &credentials(&pair))?;
        let door = self.door(target, Some(&pair))?;
        let caller = Caller {
            target,
            sends,
            namespace,
            authority,
            pair,
            prefix,
            user,
            kubectl: self.kubectl(&kubeconfig)?,
            door,
        };
        self.target(target)
            .apply_yaml(
                &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }).to_string(),
            )
            .await?;
        self.target(target).apply_yaml(&caller.admin().to_string()).await?;
        caller.believe(self).await?;
        Ok(caller)
    }

    /// kubectl with this kubeconfig file.
    pub fn kubectl(&self, kubeconfig: &std::path::Path) -> Result<Kubectl> {
        let program = self.product.testbed.binaries().find("kubectl")?;
        Ok(Kubectl::new(&program, kubeconfig))
    }

    /// A target's proxy.
    pub fn proxy(&self, target: &str) -> Result<&Authproxy> {
        self.product.target(target)?.authproxy()
    }

    /// A target's proxy, called with this certificate.
    pub fn door(&self, target: &str, pair: Option<&KeyPair>) -> Result<Door> {
        self.proxy(target)?.door(pair)
    }

    /// A kubeconfig file for a target's proxy with these credentials.
    pub fn kubeconfig(&self, target: &str, namespace: &str, user: &Value) -> Result<PathBuf> {
        let path = self
            .product
            .testbed
            .dir()
            .join(format!("{target}-{namespace}.kubeconfig"));
        std::fs::write(&path, self.proxy(target)?.kubeconfig(user, namespace)?)?;
        Ok(path)
    }
}

impl Caller {
    fn admin(&self) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "caller", "namespace": self.namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.user }],
        })
    }

    /// The TrustedIdentityProvider.
    pub fn provider(&self) -> Value {
        let authority = base64(&self.authority.pair().certificate);
        let mut spec = json!({ "prefix": self.prefix, "certificateAuthorityData": authority });
        if !self.sends {
            spec["identities"] = json!([format!("ns/{}/id/default", self.namespace)]);
        }
        object("TrustedIdentityProvider", self.namespace, "caller", spec)
    }

    /// The Source.
    pub fn source(&self) -> Value {
        object("Source", self.namespace, "caller", json!({ "userName": self.user }))
    }

    /// Make both, and wait until the caller is let in.
    pub async fn believe(&self, world: &World) -> Result<()> {
        let source = self.sends.then(|| self.source());
        for object in [self.provider()].into_iter().chain(source) {
            world.target(self.target).apply_yaml(&object.to_string()).await?;
        }
        eventually(&format!("{} to be let in", self.user), SOON, async || {
            // Each replica learns it by itself: a connection may go to any.
            for _ in 0..4 {
                let answer = self.door.get(&self.path("configmaps")).await?;
                ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
            }
            Ok(Some(()))
        })
        .await
    }

    /// The path of a resource in the caller's namespace.
    pub fn path(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", self.namespace)
    }

    /// Make a pod of the target's own, and wait until it runs.
    pub async fn pod(&self, world: &World, name: &str) -> Result<()> {
        let pod = super::fixtures::Template::ordinary().pod(self.namespace, name);
        let cluster = world.target(self.target);
        cluster.apply_yaml(&pod.to_string()).await?;
        let wait = format!("pod/{name}");
        cluster
            .kubectl(&[
                "wait",
                "--for=condition=Ready",
                "--timeout=60s",
                "-n",
                self.namespace,
                &wait,
            ])
            .await
            .context("the pod")
            .map(drop)
    }
}
