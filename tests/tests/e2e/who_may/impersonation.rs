//! Whom the authenticating proxy's ServiceAccount may be in a target: those whom Sources name, for as long as they do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::product::repository;
use testbed::{Cluster, client_of, eventually};

use super::sources::call;
use crate::fixtures::namespace;
use crate::harness::{Test, test};
use crate::world::SOON;

const INSTALLED: &str = "multicluster-scheduler";
const PREFIX: &str = "spiffe://impersonated/";
const SUMMARIES: &str = "/apis/multicluster.admiralty.io/v1alpha1/clustersummaries";

/// What the overlay has besides a program and its certificates.
async fn install_rights(cluster: &Cluster) -> Result<()> {
    let overlay = repository().join("manifests/overlays/authproxy");
    let yaml = cluster.kubectl(&["kustomize", &overlay.display().to_string()]).await?;
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&yaml).context("the rendered overlay")?;
    objects.retain(|object| {
        object["apiVersion"] != "cert-manager.io/v1"
            && !matches!(object["kind"].as_str(), Some("Deployment" | "Service"))
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    cluster.apply_yaml(&list.to_string()).await
}

fn provider(ns: &str) -> String {
    let spec = json!({
        "prefix": PREFIX, "groups": ["ops"], "oidc": { "issuer": "https://issuer.example.com", "audiences": ["here"] },
    });
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "TrustedIdentityProvider",
        "metadata": { "name": "issuer", "namespace": ns }, "spec": spec,
    })
    .to_string()
}

fn source(ns: &str, user: &str) -> String {
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Source",
        "metadata": { "name": "web", "namespace": ns }, "spec": { "userName": user },
    })
    .to_string()
}

/// Wait until the ServiceAccount may be this user, or may not; and tell how long it took.
async fn wait(proxy: &Client, user: &str, may: bool) -> Result<Duration> {
    let (began, expected) = (Instant::now(), if may { 200 } else { 403 });
    eventually(&format!("{user} to get {expected}"), SOON, async || {
        let status = call(proxy, http::Method::GET, SUMMARIES, &[("impersonate-user", user)]).await?;
        ensure!(status == expected, "{status}");
        Ok(Some(()))
    })
    .await?;
    Ok(began.elapsed())
}

async fn role(cluster: &Cluster) -> Result<ClusterRole> {
    Ok(Api::all(cluster.client()).get(names::IMPERSONATION_ROLE).await?)
}

/// Nobody writes anything else into the role, the agent included.
async fn only_names(cluster: &Cluster) -> Result<()> {
    let agent = client_of(
        &cluster
            .service_account_kubeconfig(INSTALLED, "multicluster-agent")
            .await?,
    )
    .await?;
    let rule = |resource: &str, names: Value| json!({ "apiGroups": [""], "resources": [resource], "resourceNames": names, "verbs": ["impersonate"] });
    let all = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    let try_write = async |client: &Client, rules: &Value| {
        let (patch, params) = (
            Patch::Merge(json!({ "rules": rules })),
            PatchParams::default().dry_run(),
        );
        let roles = Api::<ClusterRole>::all(client.clone());
        roles.patch(names::IMPERSONATION_ROLE, &params, &patch).await
    };
    eventually("the policy to count", SOON, async || {
        Ok(try_write(&cluster.client(), &all).await.is_err().then_some(()))
    })
    .await?;
    for client in [agent.clone(), cluster.client()] {
        for (rules, why) in [
            (all.clone(), "lists whom"),
            (
                json!([{ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }]),
                "lists whom",
            ),
            (json!([rule("users", json!([]))]), "lists whom"),
            (json!([rule("serviceaccounts", json!(["default"]))]), "lists whom"),
            (json!([rule("users", json!(["x/a", "system:admin"]))]), "system:"),
            (json!([rule("groups", json!(["System:masters"]))]), "system:"),
            (json!([rule("groups", json!(["administrators"]))]), "prefix"),
            (json!([rule("users", json!(["oidc:alice"]))]), "ns/NAMESPACE/id/NAME"),
        ] {
            let patched = try_write(&client, &rules).await;
            let error = patched.err().with_context(|| format!("taken: {rules}"))?.to_string();
            ensure!(
                error.contains(why) && error.contains("impersonation.multicluster"),
                "{rules}: {error}"
            );
        }
    }
    // As many as the agent writes, and short ones: the policy comes to an end.
    let name = |i: usize| format!("x/ns/default/id/{i:06}");
    let many: Vec<_> = (0..20)
        .map(|chunk| {
            let names: Vec<_> = (chunk * 1_000..(chunk + 1) * 1_000).map(name).collect();
            rule("users", json!(names))
        })
        .collect();
    try_write(&cluster.client(), &json!(many))
        .await
        .context("20,000 users")?;
    // It has this right over this one role. Of its own ones it may write the metadata, for its end.
    for other in ["multicluster-source", "multicluster-agent-target", "cluster-admin"] {
        let (patch, params) = (Patch::Merge(json!({ "rules": all })), PatchParams::default().dry_run());
        let patched = Api::<ClusterRole>::all(agent.clone())
            .patch(other, &params, &patch)
            .await;
        ensure!(
            matches!(&patched, Err(kube::Error::Api(status)) if status.code == 403),
            "{other}: {patched:?}"
        );
    }
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![test("the_proxy_may_be_whom_sources_name_and_no_other", async |world| {
        let (ns, cluster) = (namespace(&world, "impersonated").await?, world.target("eu"));
        let user = |name: &str| format!("{PREFIX}ns/default/id/{name}");
        let web = user("web");
        cluster.apply_yaml(&source(ns, &web)).await?;
        install_rights(cluster).await?;
        let proxy = client_of(&cluster.service_account_kubeconfig(INSTALLED, names::AUTHPROXY).await?).await?;
        // Not before somebody trusts a provider of this name.
        let status = call(&proxy, http::Method::GET, SUMMARIES, &[("impersonate-user", &web)]).await?;
        ensure!(status == 403, "{status}");
        cluster.apply_yaml(&provider(ns)).await?;
        wait(&proxy, &web, true).await?;
        let ops = format!("{PREFIX}ops");
        let both = [("impersonate-user", web.as_str()), ("impersonate-group", ops.as_str())];
        ensure!(
            call(&proxy, http::Method::GET, SUMMARIES, &both).await? == 200,
            "the provider's group"
        );
        for header in [
            ("impersonate-group", "system:masters"),
            ("impersonate-group", "ops"),
            ("impersonate-uid", "1"),
            ("impersonate-extra-scopes", "all"),
        ] {
            let headers = [("impersonate-user", web.as_str()), header];
            let status = call(&proxy, http::Method::GET, SUMMARIES, &headers).await?;
            ensure!(status == 403, "{header:?}: {status}");
        }
        for other in [
            user("web2"),
            user(""),
            PREFIX.to_owned(),
            "kubernetes-admin".into(),
            "*".into(),
        ] {
            let status = call(&proxy, http::Method::GET, SUMMARIES, &[("impersonate-user", &other)]).await?;
            ensure!(status == 403, "{other}: {status}");
        }
        only_names(cluster).await?;
        // What is applied again takes nothing away, and what is taken away comes again.
        install_rights(cluster).await?;
        wait(&proxy, &web, true).await?;
        cluster
            .kubectl(&[
                "patch",
                "clusterrole",
                names::IMPERSONATION_ROLE,
                "--type=merge",
                "--patch",
                r#"{"rules":[]}"#,
            ])
            .await?;
        wait(&proxy, &web, true).await?;
        // The Source goes, and comes for another one.
        let other = user("db");
        cluster.apply_yaml(&source(ns, &other)).await?;
        wait(&proxy, &web, false).await?;
        wait(&proxy, &other, true).await?;
        cluster
            .kubectl(&["delete", "trustedidentityprovider", "--namespace", ns, "issuer"])
            .await?;
        let took = wait(&proxy, &other, false).await?;
        ensure!(took < Duration::from_secs(5), "revoking took {took:?}");
        eventually("the role to be empty", SOON, async || {
            let rules = role(cluster).await?.rules.unwrap_or_default();
            ensure!(rules.is_empty(), "{rules:?}");
            Ok(Some(()))
        })
        .await
    })]
}
