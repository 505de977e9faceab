//! Somebody calls the target by way of its proxy, so that there is something to see.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;
use multicluster_api::PodChaperon;
use serde_json::json;
use testbed::product::{Product, Proof};
use testbed::{client_of, eventually};

use super::world::SOON;

const NAMESPACE: &str = "default";

/// An identity is issued in the source, and let in by `eu`. No Target uses it. The keys of another issuer are not to be had.
pub async fn exercise(product: &Product) -> Result<()> {
    let connection = product.connection("eu", NAMESPACE, Proof::Certificate).await?;
    let (source, target) = (&product.source.cluster, &product.target("eu")?.cluster);
    for object in &connection.target {
        target.apply_yaml(&object.to_string()).await?;
    }
    let silent = json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "TrustedIdentityProvider",
        "metadata": { "name": "silent", "namespace": NAMESPACE },
        "spec": {
            "prefix": "silent/",
            "oidc": { "issuer": "https://127.0.0.1:1", "audiences": ["multicluster.admiralty.io/eu"] },
        },
    });
    target.apply_yaml(&silent.to_string()).await?;
    source.apply_yaml(&connection.source[0].to_string()).await?;
    let secrets = Api::<Secret>::namespaced(source.client(), NAMESPACE);
    let data = eventually("an identity to be issued", SOON, async || {
        Ok(secrets.get_opt("eu").await?.and_then(|secret| secret.data))
    })
    .await?;
    let kubeconfig = String::from_utf8(data.get("config").context("a kubeconfig")?.0.clone())?;
    let client = client_of(&kubeconfig).await?;
    eventually("the identity to be let in", SOON, async || {
        let chaperons = Api::<PodChaperon>::namespaced(client.clone(), NAMESPACE);
        Ok(Some(chaperons.list(&ListParams::default()).await?))
    })
    .await?;
    let stranger = product.target("eu")?.authproxy()?.door(None)?.get("/api").await?;
    ensure!(stranger.status == 401, "{}", stranger.status);
    Ok(())
}
