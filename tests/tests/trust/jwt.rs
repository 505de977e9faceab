//! Tokens: real ones, and those that somebody forged.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use rcgen::{PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};
use testbed::Cluster;

/// An issuer whose key is the test's.
pub struct Issuer {
    /// Its name.
    pub issuer: String,
    key: rcgen::KeyPair,
}

impl Issuer {
    /// A new key.
    pub fn new(issuer: &str) -> Result<Self> {
        Ok(Self {
            issuer: issuer.to_owned(),
            key: rcgen::KeyPair::generate_for(&PKCS_ED25519)?,
        })
    }

    /// Its keys as a JSON Web Key Set.
    pub fn keys(&self) -> String {
        let x = base64url(self.key.der_bytes());
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "test", "x": x });
        json!({ "keys": [key] }).to_string()
    }

    /// Claims of a ServiceAccount, good for an hour.
    pub fn claims(&self, audience: &str, namespace: &str, name: &str) -> Value {
        json!({
            "iss": self.issuer, "aud": [audience],
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "iat": now() - 1, "nbf": now() - 1, "exp": now() + 3600,
        })
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        let text = unsigned(&json!({ "alg": "EdDSA", "kid": "test" }), claims);
        let signature = self.key.sign(text.as_bytes())?;
        Ok(format!("{text}.{}", base64url(&signature)))
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or(Duration::ZERO).as_secs()).unwrap_or_default()
}

/// Header and claims, as they are signed.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        base64url(header.to_string().as_bytes()),
        base64url(claims.to_string().as_bytes())
    )
}

/// The header and the claims of a token.
pub fn read(token: &str) -> Result<(Value, Value)> {
    let mut parts = token.split('.').map(|part| -> Result<Value> {
        let padded = format!(
            "{}{}",
            part.replace('-', "+").replace('_', "/"),
            "=".repeat((4 - part.len() % 4) % 4)
        );
        let bytes: ByteString = serde_json::from_value(json!(padded))?;
        Ok(serde_json::from_slice(&bytes.0)?)
    });
    Ok((parts.next().context("header")??, parts.next().context("claims")??))
}

/// base64url without padding (RFC 7515, 2).
pub fn base64url(bytes: &[u8]) -> String {
    let text = json!(ByteString(bytes.to_vec()));
    let text = text.as_str().unwrap_or_default();
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// A real token of a cluster's ServiceAccount; without an audience one for the cluster itself.
pub async fn token(cluster: &Cluster, namespace: &str, account: &str, audience: Option<&str>) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: audience.map(|audience| vec![audience.to_owned()]),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer: TokenRequest = accounts
        .create_subresource("token", account, &PostParams::default(), &request)
        .await?;
    answer.status.and_then(|status| status.token).context("a token")
}
