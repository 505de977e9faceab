//! A token of a ServiceAccount of the target.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use secrecy::SecretString;

use crate::contexts::Cluster;
use crate::failure::{Failure, problem};

/// A token, and when it ends.
pub struct Token {
    /// It is never shown.
    pub token: SecretString,
    /// When the API server will no longer take it.
    pub expires: Timestamp,
}

/// Ask for a token. The API server may give it a shorter life.
pub async fn request(cluster: &Cluster, namespace: &str, name: &str, life: Duration) -> Result<Token, Failure> {
    let accounts = Api::<ServiceAccount>::namespaced(cluster.client.clone(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(i64::try_from(life.as_secs().max(600)).unwrap_or(i64::MAX)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer: Result<TokenRequest, _> = accounts
        .create_subresource("token", name, &PostParams::default(), &request)
        .await;
    let answer = answer.map_err(|error| {
        problem(format!(
            "a token of ServiceAccount {namespace}/{name}: {}",
            cluster.words(&error)
        ))
    })?;
    let status = answer
        .status
        .ok_or_else(|| problem("the API server answered no token"))?;
    let (Some(token), Some(expires)) = (status.token, status.expiration_timestamp) else {
        return Err(problem("the API server answered no token"));
    };
    Ok(Token {
        token: token.into(),
        expires: expires.0,
    })
}
