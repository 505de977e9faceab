//! Who may call the kubelet API: the cluster's clients, as RBAC has it for nodes.

use anyhow::{Result, ensure};
use serde_json::Value;
use testbed::Authority;
use testbed::wire::{Door, Version};

use super::harness::test;
use super::world::{NODE, Test, World};

pub fn tests() -> Vec<Test> {
    vec![
        test("who_is_not_of_the_cluster_gets_401", async |world| {
            unknown(&world).await
        }),
        test("who_has_no_rights_on_the_node_gets_403", async |world| {
            known(&world).await
        }),
        test(
            "a_pod_is_what_the_agent_has_seen_and_not_what_a_path_says",
            async |world| elsewhere(&world).await,
        ),
    ]
}

async fn code(door: &Door, path: &str) -> Result<(u16, String)> {
    let answer = door.get(path).await?;
    Ok((answer.status.as_u16(), answer.text()))
}

async fn unknown(world: &World) -> Result<()> {
    world.pod("strange-unknown").await?;
    let other = Authority::new("other")?.client("kubernetes-admin", Some("system:masters"))?;
    let expired = world.source().authority().expired_client("kubernetes-admin")?;
    let node = format!("/nodes/{NODE}/pods");
    for certificate in [None, Some(&other), Some(&expired)] {
        let door = world.door(certificate).await?;
        for path in [
            node.as_str(),
            "/healthz",
            "/containerLogs/strange-unknown/web/main",
            "/none",
        ] {
            let (code, body) = code(&door, path).await?;
            ensure!(code == 401, "{path}: {code} {body}");
            let status: Value = serde_json::from_str(&body)?;
            ensure!(
                status["kind"] == "Status" && status["reason"] == "Unauthorized",
                "{body}"
            );
        }
    }
    let door = world.door(None).await?.with_token("nobodys");
    ensure!(code(&door, &node).await?.0 == 401);
    Ok(())
}

async fn known(world: &World) -> Result<()> {
    world.pod("strange-known").await?;
    let authority = world.source().authority();
    let (logs, metrics) = (
        "/containerLogs/strange-known/web/main",
        format!("/nodes/{NODE}/metrics/resource"),
    );
    let eve = world.door(Some(&authority.client("eve", None)?)).await?;
    for path in [logs, metrics.as_str(), "/containerLogs/strange-known/none/main"] {
        let (code, body) = code(&eve, path).await?;
        ensure!(
            code == 403 && body.contains("eve") && body.contains("nodes"),
            "{path}: {code} {body}"
        );
    }
    // metrics-server comes with a token.
    let token = world
        .kubectl
        .run(&["create", "token", "--namespace=strange-known", "default"])
        .await?;
    let server = world.door(None).await?.with_token(token.trim());
    ensure!(code(&server, &metrics).await?.0 == 403);
    world
        .source()
        .apply_yaml(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: strange-metrics}\nrules:\n\
             - {apiGroups: [\"\"], resources: [nodes/metrics], verbs: [get]}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: strange-metrics}\n\
             roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strange-metrics}\n\
             subjects: [{kind: User, name: reader, apiGroup: rbac.authorization.k8s.io}]\n",
        )
        .await?;
    let reader = world.door(Some(&authority.client("reader", None)?)).await?;
    testbed::eventually("the reader to be let in", super::world::SOON, async || {
        let (code, _) = code(&reader, &metrics).await?;
        Ok((code != 403).then_some(()))
    })
    .await?;
    ensure!(
        code(&reader, logs).await?.0 == 403,
        "who may read metrics may read logs"
    );
    let boss = world
        .door(Some(&authority.client("boss", Some("system:masters"))?))
        .await?;
    let (found, body) = code(&boss, logs).await?;
    ensure!(found == 200, "{found} {body}");
    ensure!(code(&boss, &format!("/nodes/{NODE}/healthz")).await?.0 == 200);
    let (_, pods) = code(&boss, &format!("/nodes/{NODE}/pods")).await?;
    ensure!(pods.contains("strange-known"), "{pods}");
    ensure!(code(&boss, "/configz").await?.0 == 404);
    // Without an upgrade there is nothing to speak with; and no command runs.
    ensure!(code(&boss, "/exec/strange-known/web/main?command=ls&output=1").await?.0 == 400);
    Ok(())
}

async fn elsewhere(world: &World) -> Result<()> {
    world.pod("strange-there").await?;
    let delegate = world.delegates("us", "strange-there").await?;
    let name = delegate[0].metadata.name.clone().unwrap_or_default();
    let boss = world.source().authority().client("boss", Some("system:masters"))?;
    let door = world.door(Some(&boss)).await?;
    // Delegates by their own name, other pods of the target, and pods of no virtual node.
    for pod in [
        format!("strange-there/{name}"),
        "kube-system/none".into(),
        "strange-there/other".into(),
    ] {
        let (code, body) = code(&door, &format!("/containerLogs/{pod}/main")).await?;
        ensure!(
            code == 404 && body.contains("not on a virtual node"),
            "{pod}: {code} {body}"
        );
    }
    let mut wire = door.open(Version::Http1).await?;
    for path in [
        "/containerLogs/strange-there/web%2f../main",
        "/containerLogs/strange-there/../main",
    ] {
        let answer = wire.get(path, &[]).await?;
        ensure!(answer.status.as_u16() == 404, "{path}: {}", answer.text());
    }
    Ok(())
}
