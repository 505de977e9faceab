//! What a stolen credential is worth: each row of the table in SECURITY.md, tried.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::config::Kubeconfig;
use multicluster_api::names;
use testbed::product::{PREFIX, repository};
use testbed::wire::Door;
use testbed::{Authority, Cluster, KeyPair};

use super::bad_input::chaperon;
use super::harness::test;
use super::rotation::secrets;
use super::tutorial::DEFAULT;
use super::who_may;
use super::world::{Test, World};

pub fn tests() -> Vec<Test> {
    vec![test("what_a_stolen_credential_is_worth", async |world: Arc<World>| {
        world.tutorial().await?;
        let rows = rows()?;
        ensure!(rows.len() == 7, "{rows:?}");
        for row in rows {
            tried(&world, &row).await.with_context(|| format!("stolen: {row}"))?;
        }
        Ok(())
    })]
}

/// The first column of the table.
fn rows() -> Result<Vec<String>> {
    let page = std::fs::read_to_string(repository().join("SECURITY.md"))?;
    let (_, table) = page.split_once("| stolen | can | cannot |\n").context("the table")?;
    let lines = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    Ok(lines
        .filter_map(|line| Some(line.split('|').nth(1)?.trim().to_owned()))
        .collect())
}

async fn tried(world: &Arc<World>, row: &str) -> Result<()> {
    match row {
        "a client certificate and key of the source" => certificate(world).await,
        "a token of the source for a target" => token(world).await,
        "the key of the source's identity authority, or of its token issuer" => authority(world).await,
        "the proxy's ServiceAccount" => who_may::proxy(world.clone(), "stolen-proxy").await,
        "the proxy's serving key" => serving(world).await,
        "the target agent's ServiceAccount" => target_agent(world).await,
        "the source agent's ServiceAccount" => who_may::agent(world.clone(), "stolen-agent").await,
        other => bail!("nobody has tried {other:?}"),
    }
}

/// The status of a call; of something that the source's user may read where it is let in, and that does not exist.
async fn status(door: &Door) -> Result<u16> {
    Ok(door.get(&chaperon(DEFAULT, "none")).await?.status.as_u16())
}

/// The status at the API server itself.
async fn status_at(cluster: &Cluster, pair: Option<&KeyPair>, token: Option<&str>) -> Result<u16> {
    let door = cluster.door(pair)?;
    let door = token.map_or(door.clone(), |token| door.with_token(token));
    status(&door).await
}

/// The credentials that the source has for a target.
async fn stolen(world: &World, target: &str) -> Result<(Option<KeyPair>, Option<String>)> {
    let text = secrets(world).await?.remove(target).context("a kubeconfig")?;
    let config = serde_json::to_value(Kubeconfig::from_yaml(&text)?)?;
    let user = &config["users"][0]["user"];
    let plain = |key: &str| -> Result<Option<String>> {
        let Some(data) = user[key].as_str() else {
            return Ok(None);
        };
        let bytes: k8s_openapi::ByteString = serde_json::from_value(serde_json::json!(data))?;
        Ok(Some(String::from_utf8(bytes.0)?))
    };
    let pair = match (plain("client-certificate-data")?, plain("client-key-data")?) {
        (Some(certificate), Some(key)) => Some(KeyPair { certificate, key }),
        _ => None,
    };
    Ok((pair, user["token"].as_str().map(str::to_owned)))
}

async fn certificate(world: &Arc<World>) -> Result<()> {
    let (pair, token) = stolen(world, "us").await?;
    ensure!(pair.is_some() && token.is_none(), "not a certificate alone");
    let pair = pair.as_ref();
    let door = world.door("us", pair)?;
    ensure!(status(&door).await? == 404, "not let in where it is for");
    for path in [
        "/api/v1/nodes",
        "/api/v1/secrets",
        "/api/v1/namespaces/kube-system/pods",
    ] {
        ensure!(door.get(path).await?.status == 403, "{path}");
    }
    ensure!(status(&world.door("eu", pair)?).await? == 401, "another target");
    for cluster in ["us", "eu", "direct"] {
        ensure!(
            status_at(world.target(cluster), pair, None).await? == 401,
            "the API server of {cluster}"
        );
    }
    ensure!(status_at(world.source(), pair, None).await? == 401, "the source");
    Ok(())
}

async fn token(world: &Arc<World>) -> Result<()> {
    let (pair, token) = stolen(world, "eu").await?;
    ensure!(pair.is_none(), "not a token alone");
    let token = token.context("a token")?;
    let at = |target: &str| anyhow::Ok(world.door(target, None)?.with_token(&token));
    ensure!(status(&at("eu")?).await? == 404, "not let in where it is for");
    ensure!(at("eu")?.get("/api/v1/secrets").await?.status == 403, "Secrets");
    ensure!(status(&at("us")?).await? == 401, "another target");
    for cluster in ["us", "eu", "direct"] {
        let status = status_at(world.target(cluster), None, Some(&token)).await?;
        ensure!(status == 401, "the API server of {cluster}");
    }
    ensure!(
        status_at(world.source(), None, Some(&token)).await? == 401,
        "the source"
    );
    Ok(())
}

async fn pair_of(cluster: &Cluster, secret: &str) -> Result<KeyPair> {
    let secrets = Api::<Secret>::namespaced(cluster.client(), names::INSTALL_NAMESPACE);
    let mut data = secrets.get(secret).await?.data.unwrap_or_default();
    let mut text = |key: &str| anyhow::Ok(String::from_utf8(data.remove(key).context("a key")?.0)?);
    Ok(KeyPair {
        certificate: text("tls.crt")?,
        key: text("tls.key")?,
    })
}

async fn authority(world: &Arc<World>) -> Result<()> {
    const NAME: &str = "multicluster-identity-ca";
    let pair = pair_of(world.source(), NAME).await?;
    let authority = Authority::of_cert_manager(NAME, &pair.certificate, &pair.key)?;
    let as_somebody = async |name: &str, group: Option<&str>| {
        let pair = authority.client(name, group)?;
        status(&world.door("us", Some(&pair))?).await
    };
    ensure!(
        as_somebody("ns/default/id/default", None).await? == 404,
        "cannot be the source"
    );
    ensure!(as_somebody("ns/default/id/default", Some("system:masters")).await? == 404);
    ensure!(
        as_somebody("ns/default/id/other", None).await? == 403,
        "somebody whom no Source names"
    );
    let prefixed = format!("{PREFIX}ns/default/id/default");
    for name in [
        "system:admin",
        "kubernetes-admin",
        "system:serviceaccount:default:default",
        &prefixed,
    ] {
        ensure!(as_somebody(name, Some("system:masters")).await? == 401, "{name}");
    }
    // In a group of its own choosing it is nobody more.
    let pair = authority.client("ns/default/id/default", Some("system:masters"))?;
    let door = world.door("us", Some(&pair))?;
    ensure!(door.get("/api/v1/secrets").await?.status == 403, "system:masters");
    ensure!(status_at(world.source(), Some(&pair), None).await? == 401, "the source");
    Ok(())
}

async fn serving(world: &Arc<World>) -> Result<()> {
    let pair = pair_of(world.target("us"), "multicluster-authproxy-tls").await?;
    ensure!(status(&world.door("us", Some(&pair))?).await? == 401, "the proxy");
    for cluster in [world.target("us"), world.source()] {
        ensure!(
            status_at(cluster, Some(&pair), None).await? == 401,
            "{}",
            cluster.name()
        );
    }
    Ok(())
}

async fn target_agent(world: &Arc<World>) -> Result<()> {
    let cluster = world.target("us");
    let agent = who_may::as_account(world, cluster, "multicluster-agent").await?;
    let role = [
        "patch",
        "clusterrole",
        names::IMPERSONATION_ROLE,
        "--type=merge",
        "--patch",
    ];
    let rule = |resource: &str, name: &str| {
        format!(
            r#"{{"rules":[{{"apiGroups":[""],"resources":["{resource}"],"verbs":["impersonate"],"resourceNames":["{name}"]}}]}}"#
        )
    };
    for (resource, name) in [
        ("users", "system:admin"),
        ("users", "somebody"),
        ("groups", "system:masters"),
        ("serviceaccounts", "default"),
        ("userextras/scopes", "x"),
    ] {
        agent.refused(&[&role[..], &[&rule(resource, name)]].concat()).await?;
    }
    let binding = [
        "create",
        "clusterrolebinding",
        "mine",
        "--clusterrole=cluster-admin",
        "--user=me",
    ];
    agent.refused(&binding).await?;
    // Names of identities it may write; and it puts back itself what is not to be there.
    let nobody = rule("users", "spiffe://elsewhere/ns/default/id/nobody");
    agent.run(&[&role[..], &[&nobody, "--dry-run=server"]].concat()).await?;
    ensure!(
        agent.refused(&["auth", "can-i", "impersonate", "users"]).await.is_ok(),
        "the agent may impersonate"
    );
    Ok(())
}
