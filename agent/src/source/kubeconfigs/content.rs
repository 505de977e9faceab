//! The kubeconfig: data only, no path, no program. Pure.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use multicluster_trust::kubeconfig_spec::Wanted;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::held::digest;
use super::problem::Problem;

/// What proves who we are.
pub enum Proof {
    /// A certificate and its key, both PEM.
    Certificate {
        /// The certificate, and those between it and the authority.
        chain: String,
        /// The private key.
        key: SecretString,
    },
    /// A bearer token.
    Token(SecretString),
}

/// Proof that expires.
#[derive(Debug)]
pub struct Credentials {
    /// The proof.
    pub proof: Proof,
    /// When it expires.
    pub expires: Timestamp,
}

impl Proof {
    /// The kind, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => "certificate",
            Self::Token(_) => "token",
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// A hash of all that a kubeconfig of this name is made from, but for the proof itself.
pub fn purpose(name: &str, wanted: &Wanted) -> String {
    let Wanted {
        cluster,
        identity,
        proof,
        // Where it is does not matter: a Secret of another name is another one.
        secret_name: _,
    } = wanted;
    digest(&format!("1 {name:?} {cluster:?} {identity} {proof:?}"))
}

/// The kubeconfig, YAML. Its only context has this name.
pub fn kubeconfig(name: &str, wanted: &Wanted, proof: &Proof) -> Result<SecretString, Problem> {
    let cluster = without_nulls(json!({
        "server": wanted.cluster.server,
        "certificate-authority-data": wanted.cluster.certificate_authority_data,
        "tls-server-name": wanted.cluster.tls_server_name,
        "proxy-url": wanted.cluster.proxy_url,
    }));
    let user = match proof {
        Proof::Certificate { chain, key } => json!({
            "client-certificate-data": BASE64_STANDARD.encode(chain),
            "client-key-data": BASE64_STANDARD.encode(key.expose_secret()),
        }),
        Proof::Token(token) => json!({ "token": token.expose_secret() }),
    };
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": name, "user": user }],
    });
    // An error could quote what it is about.
    let text = serde_saphyr::to_string(&kubeconfig);
    text.map(Into::into)
        .map_err(|_| Problem::not_ours("the kubeconfig cannot be written as YAML"))
}

fn without_nulls(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

#[cfg(test)]
#[path = "tests/content.rs"]
mod tests;
