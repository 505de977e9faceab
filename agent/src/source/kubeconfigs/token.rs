//! The API server's part: tokens of ServiceAccounts.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::SecretString;
use serde_json::Value;

use super::content::{Credentials, Proof};
use super::decide::SHORTEST;
use super::problem::Problem;
use crate::api_error;
use crate::source::link::call::{CallError, call};

const ASK: &str = "ask for tokens of ServiceAccounts";

/// Ask for a token of a ServiceAccount, for this audience and of this life. The API server may choose another life.
pub async fn issue(
    client: &Client,
    namespace: &str,
    account: &str,
    audience: &str,
    life: Duration,
    now: Timestamp,
) -> Result<Credentials, Problem> {
    let spec = TokenRequestSpec {
        audiences: Some(vec![audience.to_owned()]),
        expiration_seconds: life.as_secs().try_into().ok(),
        ..Default::default()
    };
    let request = TokenRequest {
        spec: Some(spec),
        ..Default::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let params = PostParams::default();
    // As a value: an answer that does not parse would be logged, with the token.
    let ask = accounts.create_subresource::<_, Value>("token", account, &params, &request);
    match call(ask).await {
        Ok(answer) => accept(answer, audience, now),
        Err(CallError::Kube(error)) if api_error::is_not_found(&error) => Err(Problem::new(
            "ServiceAccountNotFound",
            format!(
                "there is no ServiceAccount {namespace}/{account}: create it, or write another \
                 spec.token.serviceAccountName"
            ),
        )),
        Err(error) => Err(Problem::of_call(ASK, &error)),
    }
}

/// Take the token in an answer, if it is for this audience alone and not about to expire. Pure.
fn accept(answer: Value, audience: &str, now: Timestamp) -> Result<Credentials, Problem> {
    let unclear = || Problem::not_ours("the answer to a TokenRequest makes no sense");
    let answer: TokenRequest = serde_json::from_value(answer).map_err(|_| unclear())?;
    let status = answer.status.ok_or_else(unclear)?;
    let token = status.token.filter(|token| !token.is_empty()).ok_or_else(unclear)?;
    let expires = status.expiration_timestamp.ok_or_else(unclear)?.0;
    let audiences = answer.spec.and_then(|spec| spec.audiences).unwrap_or_default();
    if audiences != [audience] {
        return Err(Problem::not_ours(format!(
            "the token that came is not for the audience {audience} alone"
        )));
    }
    if expires.duration_since(now) < SHORTEST.try_into().unwrap_or_default() {
        return Err(Problem::not_ours(format!(
            "the token that came expires at {expires}, and it is {now} already: see the clocks"
        )));
    }
    Ok(Credentials {
        proof: Proof::Token(SecretString::from(token)),
        expires,
    })
}

#[cfg(test)]
#[path = "tests/token.rs"]
mod tests;
