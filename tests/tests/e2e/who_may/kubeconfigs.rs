//! The agent of a source writes the Secrets of Kubeconfigs, issues tokens for targets, and nothing else of the kind.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use multicluster_api::names;
use serde_json::Value;
use testbed::{client_of, eventually};

use super::sources::may;
use crate::fixtures::namespace;
use crate::harness::{Test, test};
use crate::world::{SOON, World};

const INSTALLED: &str = "multicluster-scheduler";

fn secret(name: &str, type_: &str) -> Secret {
    let mut secret = Secret {
        type_: Some(type_.into()),
        string_data: Some(BTreeMap::from([("config".to_owned(), "a".to_owned())])),
        ..Secret::default()
    };
    secret.metadata.name = Some(name.into());
    secret
}

/// Refused by the policy, with this in the text.
fn refused<T: std::fmt::Debug>(result: Result<T, kube::Error>, why: &str) -> Result<()> {
    let error = result.err().context("it was taken")?;
    ensure!(
        matches!(&error, kube::Error::Api(status) if status.code == 403) && error.to_string().contains(why),
        "{error}"
    );
    Ok(())
}

async fn secrets(world: &World, agent: &Client, ns: &str) -> Result<()> {
    let (agents, administrators) = (
        Api::<Secret>::namespaced(agent.clone(), ns),
        Api::<Secret>::namespaced(world.source().client(), ns),
    );
    let (post, delete) = (PostParams::default(), DeleteParams::default());
    let change = async |api: &Api<Secret>, name: &str| {
        let mut secret = api.get(name).await?;
        secret.string_data = Some(BTreeMap::from([("config".to_owned(), "b".to_owned())]));
        api.replace(name, &post, &secret).await
    };
    administrators.create(&post, &secret("theirs", "Opaque")).await?;
    let why = names::KUBECONFIG_SECRET;
    refused(agents.create(&post, &secret("opaque", "Opaque")).await, why)?;
    let mut token = secret("token", "kubernetes.io/service-account-token");
    let whose = ("kubernetes.io/service-account.name".to_owned(), "default".to_owned());
    token.metadata.annotations = Some([whose].into());
    refused(agents.create(&post, &token).await, why)?;
    refused(change(&agents, "theirs").await, why)?;
    refused(agents.delete("theirs", &delete).await, why)?;
    // Its own; and an administrator may write both.
    agents.create(&post, &secret("ours", names::KUBECONFIG_SECRET)).await?;
    for (api, name) in [
        (&agents, "ours"),
        (&administrators, "ours"),
        (&administrators, "theirs"),
    ] {
        change(api, name).await?;
    }
    agents.delete("ours", &delete).await.map(drop).map_err(Into::into)
}

async fn tokens(agent: &Client, ns: &str) -> Result<()> {
    let accounts = Api::<ServiceAccount>::namespaced(agent.clone(), ns);
    let ask = async |audiences: &[&str], seconds: i64| {
        let spec = TokenRequestSpec {
            audiences: Some(audiences.iter().map(|audience| (*audience).to_owned()).collect()),
            expiration_seconds: Some(seconds),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest {
            spec: Some(spec),
            ..TokenRequest::default()
        };
        accounts
            .create_subresource::<_, TokenRequest>("token", "default", &PostParams::default(), &request)
            .await
    };
    let ours = "multicluster.admiralty.io/eu:443";
    for wrong in [
        &[][..],
        &["https://kubernetes.default.svc"],
        &[ours, "https://kubernetes.default.svc"],
        &[""],
    ] {
        refused(ask(wrong, 600).await, names::AUDIENCE_PREFIX)?;
    }
    refused(ask(&[ours], 86_401).await, "86400")?;
    ask(&[ours], 600).await.map(drop).map_err(Into::into)
}

pub fn tests() -> Vec<Test> {
    vec![test(
        "the_agent_writes_kubeconfigs_and_issues_tokens_for_targets_alone",
        async |world| {
            let ns = namespace(&world, "issued").await?;
            let cluster = world.source();
            let agent = client_of(
                &cluster
                    .service_account_kubeconfig(INSTALLED, "multicluster-agent")
                    .await?,
            )
            .await?;
            let accounts = Api::<ServiceAccount>::namespaced(cluster.client(), ns);
            eventually("the default ServiceAccount", SOON, async || {
                Ok(accounts.get_opt("default").await?)
            })
            .await?;
            secrets(&world, &agent, ns).await?;
            tokens(&agent, ns).await?;
            for (namespace, expected) in [(INSTALLED, true), (ns, false), ("", false)] {
                let may = may(&agent, "cert-manager.io", "certificaterequests", "create", namespace).await?;
                ensure!(may == expected, "certificaterequests in {namespace:?}: {may}");
            }
            // The authority is there, and is not that of our servers.
            let secrets = Api::<Secret>::namespaced(cluster.client(), INSTALLED);
            let certificate = async |name: &str| {
                eventually(&format!("the Secret {name}"), SOON, async || {
                    let found = secrets.get_opt(name).await?.and_then(|secret| secret.data);
                    Ok(found
                        .and_then(|data| data.get("tls.crt").cloned())
                        .filter(|bytes| !bytes.0.is_empty()))
                })
                .await
            };
            ensure!(certificate("multicluster-identity-ca").await? != certificate("multicluster-ca").await?);
            let issuer = format!(
                "/apis/cert-manager.io/v1/namespaces/{INSTALLED}/issuers/{}",
                names::IDENTITY_ISSUER
            );
            eventually("the issuer of identities", SOON, async || {
                let issuer: Value = serde_json::from_str(&cluster.get(&issuer).await?)?;
                let ready = issuer["status"]["conditions"][0]["status"] == "True";
                Ok(ready.then_some(()))
            })
            .await
        },
    )]
}
