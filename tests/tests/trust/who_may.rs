//! Nobody gets further than what they are trusted with.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::product::{base64, object};
use testbed::{Cluster, eventually};

use super::harness::test;
use super::jwt;
use super::kubectl::Kubectl;
use super::tutorial::DEFAULT;
use super::world::{SOON, Test, World};

/// Where the product lives.
const INSTALLED: &str = "multicluster-scheduler";

pub fn tests() -> Vec<Test> {
    vec![
        test("the_proxy_itself_may_be_nobody_else", |world| proxy(world, "may-proxy")),
        test("a_provider_speaks_for_its_own_namespace", own_namespace),
        test("providers_do_not_share_names_or_proofs", overlaps),
        test("the_sources_agent_issues_for_targets_alone", |world| {
            agent(world, "may-agent")
        }),
    ]
}

/// kubectl straight to a cluster's API server as one of the product's ServiceAccounts.
pub async fn as_account(world: &World, cluster: &Cluster, account: &str) -> Result<Kubectl> {
    let path = world
        .product
        .testbed
        .dir()
        .join(format!("{}-as-{account}.kubeconfig", cluster.name()));
    std::fs::write(&path, cluster.service_account_kubeconfig(INSTALLED, account).await?)?;
    world.kubectl(&path)
}

/// The proxy's ServiceAccount, tried.
pub async fn proxy(world: Arc<World>, namespace: &'static str) -> Result<()> {
    let caller = world.caller("us", namespace).await?;
    let proxy = as_account(&world, world.target("us"), "multicluster-authproxy").await?;
    let get = ["get", "configmaps", "--namespace", caller.namespace];
    // Whom the trust names, it may be.
    proxy.run(&[&get[..], &["--as", &caller.user]].concat()).await?;
    // As itself it sees nothing that is anybody's.
    for args in [
        &get[..],
        &["get", "secrets", "--all-namespaces"],
        &["get", "pods", "--namespace", DEFAULT],
    ] {
        proxy.refused(args).await?;
    }
    let other = format!("{}ns/{}/id/other", caller.prefix, caller.namespace);
    for user in [
        "kubernetes-admin",
        "system:admin",
        "system:kube-scheduler",
        &other,
        &caller.prefix,
        "*",
    ] {
        let message = proxy.refused(&[&get[..], &["--as", user]].concat()).await?;
        ensure!(message.contains("impersonate"), "as {user}: {message}");
    }
    for group in ["system:masters", "system:authenticated", "anything"] {
        let args = ["--as", caller.user.as_str(), "--as-group", group];
        let message = proxy.refused(&[&get[..], &args].concat()).await?;
        ensure!(message.contains("impersonate"), "in {group}: {message}");
    }
    let account = ["--as", "system:serviceaccount:kube-system:default"];
    proxy.refused(&[&get[..], &account].concat()).await?;
    // Nor does it write its own role; and the agent, which does, writes no rule but names of users and groups.
    let role = [
        "patch",
        "clusterrole",
        "multicluster-authproxy-impersonation",
        "--type=merge",
        "--patch",
    ];
    let everybody = r#"{"rules":[{"apiGroups":[""],"resources":["users"],"verbs":["impersonate"]}]}"#;
    let masters = r#"{"rules":[{"apiGroups":[""],"resources":["groups"],"verbs":["impersonate"],"resourceNames":["system:masters"]}]}"#;
    let all = r#"{"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}"#;
    let agent = as_account(&world, world.target("us"), "multicluster-agent").await?;
    for rules in [everybody, masters, all] {
        proxy.refused(&[&role[..], &[rules]].concat()).await?;
        agent.refused(&[&role[..], &[rules]].concat()).await?;
    }
    Ok(())
}

/// A condition of one of our objects: status, reason, message.
pub async fn condition(cluster: &Cluster, kind: &str, namespace: &str, name: &str) -> Result<(String, String, String)> {
    let path = format!("/apis/multicluster.admiralty.io/v1alpha1/namespaces/{namespace}/{kind}/{name}");
    let object: Value = serde_json::from_str(&cluster.get(&path).await?)?;
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    let ready = ready.with_context(|| format!("{kind} {name} has no condition yet"))?;
    let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("reason"), text("message")))
}

/// Wait until one of our objects is not Ready, for a reason that has this in it.
pub async fn not_ready(cluster: &Cluster, kind: &str, namespace: &str, name: &str, why: &str) -> Result<()> {
    eventually(&format!("{kind} {name} not to be Ready: {why}"), SOON, async || {
        let (status, reason, message) = condition(cluster, kind, namespace, name).await?;
        ensure!(
            status == "False" && format!("{reason}: {message}").contains(why),
            "{status}, {reason}: {message}"
        );
        Ok(Some(()))
    })
    .await
}

/// Wait until one of our objects is Ready.
pub async fn ready(cluster: &Cluster, kind: &str, namespace: &str, name: &str) -> Result<()> {
    // What depends on something else is looked at again once a minute.
    let patience = SOON + SOON;
    eventually(&format!("{kind} {name} to be Ready"), patience, async || {
        let (status, reason, message) = condition(cluster, kind, namespace, name).await?;
        ensure!(status == "True", "{status}, {reason}: {message}");
        Ok(Some(()))
    })
    .await
}

async fn own_namespace(world: Arc<World>) -> Result<()> {
    let caller = world.caller("us", "may-own").await?;
    let cluster = world.target("us");
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "may-elsewhere" } });
    cluster.apply_yaml(&namespace.to_string()).await?;
    // A Source of another namespace names a user under this provider's prefix. It was never asked.
    let elsewhere = format!("{}ns/{}/id/elsewhere", caller.prefix, caller.namespace);
    let source = object("Source", "may-elsewhere", "elsewhere", json!({ "userName": elsewhere }));
    cluster.apply_yaml(&source.to_string()).await?;
    ready(cluster, "sources", "may-elsewhere", "elsewhere").await?;
    let pair = caller
        .authority
        .client(&format!("ns/{}/id/elsewhere", caller.namespace), None)?;
    let door = world.door("us", Some(&pair))?;
    for _ in 0..10 {
        // Where RBAC would let it read.
        let answer = door.get(&super::bad_input::chaperon("may-elsewhere", "none")).await?;
        ensure!(
            answer.status == 403 && answer.text().contains("no Source names it"),
            "{}: {}",
            answer.status,
            answer.text()
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // Names that would be another's, were they read as paths.
    for name in [
        "ns/../id/default",
        "ns/may-own/id/../default",
        "ns//id/default",
        "ns/may-own/id/a/b",
    ] {
        let source = object(
            "Source",
            caller.namespace,
            "odd",
            json!({ "userName": format!("{}{name}", caller.prefix) }),
        );
        // Refused at once, or of no use.
        let _ = cluster.apply_yaml(&source.to_string()).await;
        let pair = caller.authority.client(name, None)?;
        let answer = world.door("us", Some(&pair))?.get(&caller.path("configmaps")).await?;
        ensure!(answer.status == 401, "{name}: {} {}", answer.status, answer.text());
    }
    Ok(())
}

async fn overlaps(world: Arc<World>) -> Result<()> {
    let caller = world.caller("us", "may-overlap").await?;
    let cluster = world.target("us");
    let own = base64(&caller.authority.pair().certificate);
    let other = base64(&testbed::Authority::new("may-overlap-other")?.pair().certificate);
    let provider = |prefix: &str, authority: &Value| {
        let spec = json!({ "prefix": prefix, "certificateAuthorityData": authority });
        object("TrustedIdentityProvider", caller.namespace, "second", spec)
    };
    for (what, second) in [
        ("the same prefix", provider(&caller.prefix, &other)),
        ("a prefix of the prefix", provider("spiffe://", &other)),
        ("a longer prefix", provider(&format!("{}ns/", caller.prefix), &other)),
        ("the same authority", provider("spiffe://may-overlap-2/", &own)),
    ] {
        cluster.apply_yaml(&second.to_string()).await?;
        not_ready(cluster, "trustedidentityproviders", caller.namespace, "second", "")
            .await
            .with_context(|| what.to_owned())?;
        // The first one has not changed.
        ready(cluster, "trustedidentityproviders", caller.namespace, "caller").await?;
        let answer = caller.door.get(&caller.path("configmaps")).await?;
        ensure!(answer.status == 200, "{what}: {}", answer.text());
        cluster
            .kubectl(&[
                "delete",
                "trustedidentityprovider",
                "second",
                "--namespace",
                caller.namespace,
            ])
            .await?;
    }
    // What can be no prefix is refused at once, or never believed.
    for prefix in [
        "system:",
        "system:serviceaccount:",
        "SYSTEM:",
        "management",
        "a b/",
        "/",
    ] {
        let second = provider(prefix, &other);
        if cluster.apply_yaml(&second.to_string()).await.is_ok() {
            not_ready(cluster, "trustedidentityproviders", caller.namespace, "second", "")
                .await
                .with_context(|| prefix.to_owned())?;
        }
    }
    Ok(())
}

/// The ServiceAccount of the source's agent, tried.
pub async fn agent(world: Arc<World>, namespace: &'static str) -> Result<()> {
    super::fixtures::namespace(&world, namespace).await?;
    let agent = as_account(&world, world.source(), "multicluster-agent").await?;
    for audience in [
        "",
        "--audience=https://kubernetes.default.svc",
        "--audience=multicluster.admiralty.i",
    ] {
        let mut args = vec!["create", "token", "default", "--namespace", namespace];
        args.extend(Some(audience).filter(|audience| !audience.is_empty()));
        let message = agent.refused(&args).await?;
        ensure!(
            message.contains("multicluster.admiralty.io/"),
            "{audience:?}: {message}"
        );
    }
    let issuer = format!("--audience={}", world.source().url());
    agent
        .refused(&["create", "token", "default", "--namespace", namespace, &issuer])
        .await?;
    let both = ["--audience=multicluster.admiralty.io/x", &issuer];
    agent
        .refused(&[&["create", "token", "default", "--namespace", namespace][..], &both].concat())
        .await?;
    let long = ["--audience=multicluster.admiralty.io/x", "--duration=48h"];
    agent
        .refused(&[&["create", "token", "default", "--namespace", namespace][..], &long].concat())
        .await?;
    // One for a target is none here.
    let token = agent
        .run(&[
            "create",
            "token",
            "default",
            "--namespace",
            namespace,
            "--audience=multicluster.admiralty.io/x",
        ])
        .await?;
    let (_, claims) = jwt::read(token.trim())?;
    ensure!(claims["aud"] == json!(["multicluster.admiralty.io/x"]), "{claims}");
    let cluster = world.source();
    let door = cluster.door(None)?;
    let answer = door.with_token(token.trim()).get("/api").await?;
    ensure!(answer.status == 401, "{}: {}", answer.status, answer.text());
    // Secrets of other types stay as they are.
    cluster
        .kubectl(&[
            "create",
            "secret",
            "generic",
            "not-ours",
            "--namespace",
            namespace,
            "--from-literal=a=b",
        ])
        .await?;
    for args in [
        &["create", "secret", "generic", "agents", "--from-literal=a=b"][..],
        &["patch", "secret", "not-ours", "--patch", r#"{"stringData":{"a":"c"}}"#],
        &["delete", "secret", "not-ours"],
    ] {
        agent.refused(&[args, &["--namespace", namespace]].concat()).await?;
    }
    Ok(())
}
