//! Connects a source to a target without a secret that both know: the source issues an identity, the target believes it.
//!
//! ```text
//! source: Kubeconfig ─▶ Secret ◀─ Target          target: TrustedIdentityProvider, Source
//!                         └──▶ the target's proxy ──believes──▶ the source's authority or issuer
//! ```

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use multicluster_api::{TargetRef, names};
use serde_json::{Value, json};

use super::{Authproxy, NAMESPACE, Product};
use crate::{Cluster, KeyPair};

/// What the names of a source's users begin with in targets.
pub const PREFIX: &str = "spiffe://management/";

/// How a source proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By a certificate that cert-manager issues in the source.
    Certificate,
    /// By a token that the source's API server issues.
    Token,
}

/// What has to be written to connect a source to one target.
#[derive(Clone, Debug)]
pub struct Connection {
    /// In the source: a Kubeconfig, and the Target that uses it.
    pub source: [Value; 2],
    /// In the target: whom to believe, and what they may do.
    pub target: [Value; 2],
}

impl Connection {
    /// Write it.
    pub async fn apply(&self, source: &Cluster, target: &Cluster) -> Result<()> {
        for (cluster, items) in [(target, &self.target), (source, &self.source)] {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
            cluster.apply_yaml(&list.to_string()).await?;
        }
        Ok(())
    }
}

impl Product {
    /// What a user writes to let a namespace of the source send pods to a target, by way of its proxy.
    pub async fn connection(&self, target: &str, namespace: &str, proof: Proof) -> Result<Connection> {
        let source = &self.source.cluster;
        let proxy = self.target(target)?.authproxy()?;
        let cluster = json!({
            "server": proxy.url(),
            "certificateAuthorityData": base64(&proxy.authority()?),
            "tlsServerName": Authproxy::server_name(),
        });
        let audience = format!("{}127.0.0.1:{}", names::AUDIENCE_PREFIX, proxy.port);
        let (kubeconfig, provider) = match proof {
            Proof::Certificate => (
                json!({ "secretName": target, "cluster": cluster }),
                json!({ "prefix": PREFIX, "certificateAuthorityData": base64(&identity_authority(source).await?) }),
            ),
            Proof::Token => (
                json!({ "secretName": target, "cluster": cluster, "token": {} }),
                json!({
                    "prefix": PREFIX,
                    "oidc": {
                        "issuer": source.url(),
                        "audiences": [audience],
                        "certificateAuthorityData": base64(&source.authority().pair().certificate),
                    },
                }),
            ),
        };
        let secret = json!({ "kubeconfigSecret": { "name": target } });
        let user = json!({ "userName": format!("{PREFIX}ns/{namespace}/id/default") });
        Ok(Connection {
            source: [
                object("Kubeconfig", namespace, target, kubeconfig),
                object("Target", namespace, target, secret),
            ],
            target: [
                object("TrustedIdentityProvider", namespace, "management", provider),
                object("Source", namespace, "management", user),
            ],
        })
    }

    /// [`Product::connect`] for a namespace, without a secret that both clusters know. Returns the name of the virtual node,
    /// which is Ready.
    pub async fn trust(&self, target: &str, namespace: &str, proof: Proof) -> Result<String> {
        let connection = self.connection(target, namespace, proof).await?;
        connection
            .apply(&self.source.cluster, &self.target(target)?.cluster)
            .await?;
        let node: String = TargetRef::namespaced(namespace, target).virtual_node().into();
        self.wait_node_ready(&node).await?;
        Ok(node)
    }
}

/// One of our objects.
pub fn object(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": kind,
        "metadata": { "name": name, "namespace": namespace },
        "spec": spec,
    })
}

/// The authority of the identities that a source issues, in PEM: what it gives its targets.
pub async fn identity_authority(source: &Cluster) -> Result<String> {
    use k8s_openapi::api::core::v1::Secret;
    let secrets = kube::Api::<Secret>::namespaced(source.client(), NAMESPACE);
    let secret = crate::eventually(
        "the authority of identities",
        std::time::Duration::from_secs(60),
        async || Ok(secrets.get_opt(IDENTITY_CA).await?.and_then(|secret| secret.data)),
    )
    .await?;
    let ByteString(pem) = secret.get("tls.crt").context("the authority's certificate")?;
    Ok(String::from_utf8(pem.clone())?)
}

/// The Secret of the authority behind [`names::IDENTITY_ISSUER`].
const IDENTITY_CA: &str = "multicluster-identity-ca";

/// The user part of a kubeconfig, with a certificate.
pub fn credentials(pair: &KeyPair) -> Value {
    json!({
        "client-certificate-data": base64(&pair.certificate),
        "client-key-data": base64(&pair.key),
    })
}

/// As Kubernetes writes bytes in JSON.
pub fn base64(text: &str) -> Value {
    json!(ByteString(text.as_bytes().to_vec()))
}
