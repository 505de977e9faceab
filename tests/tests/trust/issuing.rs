//! Issuing an identity fails: the Kubeconfig says why, an event does, and it heals.

use std::sync::Arc;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use multicluster_api::names;
use serde_json::json;
use testbed::product::object;

use super::fixtures::namespace;
use super::harness::{alone, test};
use super::who_may::{not_ready, ready};
use super::world::{Test, World};

pub fn tests() -> Vec<Test> {
    vec![
        test("a_service_account_that_is_not_there", async |world: Arc<World>| {
            let ns = namespace(&world, "issuing-account").await?;
            let token = json!({ "serviceAccountName": "later" });
            kubeconfig(&world, ns, json!({ "secretName": "made", "token": token })).await?;
            not_ready(world.source(), "kubeconfigs", ns, "asked", "later").await?;
            world.event(ns, "later").await?;
            world
                .source()
                .kubectl(&["create", "serviceaccount", "later", "-n", ns])
                .await?;
            ready(world.source(), "kubeconfigs", ns, "asked").await?;
            issued(&world, ns).await
        }),
        test("a_secret_that_is_somebody_elses", async |world: Arc<World>| {
            let ns = namespace(&world, "issuing-secret").await?;
            let create = [
                "create",
                "secret",
                "generic",
                "made",
                "-n",
                ns,
                "--from-literal=config=mine",
            ];
            world.source().kubectl(&create).await?;
            kubeconfig(&world, ns, json!({ "secretName": "made" })).await?;
            not_ready(world.source(), "kubeconfigs", ns, "asked", "made").await?;
            world.event(ns, "made").await?;
            let kept = Api::<Secret>::namespaced(world.source().client(), ns)
                .get("made")
                .await?;
            ensure!(
                kept.data.unwrap_or_default()["config"].0 == b"mine",
                "the Secret was written to"
            );
            world.source().kubectl(&["delete", "secret", "made", "-n", ns]).await?;
            ready(world.source(), "kubeconfigs", ns, "asked").await?;
            issued(&world, ns).await
        }),
        alone("an_issuer_that_is_not_there", async |world: Arc<World>| {
            let ns = namespace(&world, "issuing-issuer").await?;
            let issuer = world
                .source()
                .kubectl(&[
                    "get",
                    "issuer",
                    names::IDENTITY_ISSUER,
                    "-n",
                    names::INSTALL_NAMESPACE,
                    "-o",
                    "yaml",
                ])
                .await?;
            let delete = [
                "delete",
                "issuer",
                names::IDENTITY_ISSUER,
                "-n",
                names::INSTALL_NAMESPACE,
            ];
            world.source().kubectl(&delete).await?;
            kubeconfig(&world, ns, json!({ "secretName": "made" })).await?;
            let failed = not_ready(world.source(), "kubeconfigs", ns, "asked", names::IDENTITY_ISSUER).await;
            let told = world.event(ns, names::IDENTITY_ISSUER).await;
            world
                .source()
                .kubectl_with_input(&["create", "-f", "-"], &issuer)
                .await?;
            failed?;
            told?;
            ready(world.source(), "kubeconfigs", ns, "asked").await?;
            issued(&world, ns).await
        }),
    ]
}

async fn kubeconfig(world: &Arc<World>, namespace: &str, mut spec: serde_json::Value) -> Result<()> {
    spec["cluster"] = json!({ "server": "https://target.example.com" });
    world.apply(&object("Kubeconfig", namespace, "asked", spec)).await
}

async fn issued(world: &Arc<World>, namespace: &str) -> Result<()> {
    let secret = Api::<Secret>::namespaced(world.source().client(), namespace)
        .get("made")
        .await?;
    ensure!(
        secret.type_.as_deref() == Some(names::KUBECONFIG_SECRET),
        "{:?}",
        secret.type_
    );
    ensure!(secret.data.unwrap_or_default().contains_key("config"), "no kubeconfig");
    Ok(())
}
