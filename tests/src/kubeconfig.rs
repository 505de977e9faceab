//! Kubeconfig files, with everything inline so that they can be moved.

use anyhow::Result;
use kube::config::Kubeconfig;
use serde_json::{Value, json};

use crate::pki::KeyPair;

/// Where a cluster's API server is and how to trust it.
pub(crate) struct Server<'a> {
    pub cluster: &'a str,
    pub url: &'a str,
    pub ca: &'a str,
}

impl Server<'_> {
    /// Authenticates with a client certificate.
    pub fn with_certificate(&self, user: &str, pair: &KeyPair) -> Result<String> {
        self.kubeconfig(
            user,
            json!({
                "client-certificate-data": base64(pair.certificate.as_bytes()),
                "client-key-data": base64(pair.key.as_bytes()),
            }),
        )
    }

    /// Authenticates with a token.
    pub fn with_token(&self, user: &str, token: &str) -> Result<String> {
        self.kubeconfig(user, json!({ "token": token }))
    }

    /// JSON, which is YAML too.
    fn kubeconfig(&self, user: &str, credentials: Value) -> Result<String> {
        let context = format!("{user}@{}", self.cluster);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": self.cluster,
                "cluster": { "server": self.url, "certificate-authority-data": base64(self.ca.as_bytes()) },
            }],
            "users": [{ "name": user, "user": credentials }],
            "contexts": [{ "name": context, "context": { "cluster": self.cluster, "user": user } }],
            "current-context": context,
        });
        Ok(serde_json::to_string_pretty(&config)?)
    }
}

/// A client for a kubeconfig's current context.
pub async fn client(kubeconfig: &str) -> Result<kube::Client> {
    let config = kube::Config::from_custom_kubeconfig(Kubeconfig::from_yaml(kubeconfig)?, &Default::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

fn base64(bytes: &[u8]) -> Value {
    // Kubernetes' ByteString is base64 in JSON.
    json!(k8s_openapi::ByteString(bytes.to_vec()))
}
