//! Tokens and keys are shown nowhere.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use testbed::product::{Scope, add_target, admin_get};
use testbed::{Cluster, eventually, free_port};

use crate::fixtures::{Template, namespace};
use crate::harness::{Test, test};
use crate::world::{SOON, World};

/// Texts that must not be shown, each with where it is from.
type Hidden = BTreeMap<String, String>;

/// A token or a key is long; something short is found in innocent texts as well.
const SHORTEST: usize = 24;

fn hide(hidden: &mut Hidden, origin: &str, text: &str) {
    if text.len() >= SHORTEST {
        hidden.insert(text.to_owned(), origin.to_owned());
    }
}

/// What is secret in a kubeconfig in JSON.
fn of_kubeconfig(hidden: &mut Hidden, origin: &str, text: &str) {
    let Ok(config) = serde_json::from_str::<Value>(text) else {
        return;
    };
    for user in config["users"].as_array().into_iter().flatten() {
        for field in ["token", "client-key-data", "password"] {
            hide(hidden, origin, user["user"][field].as_str().unwrap_or_default());
        }
    }
}

/// Each line of a private key's base64.
fn of_key(hidden: &mut Hidden, origin: &str, pem: &str) {
    if pem.contains("PRIVATE KEY") {
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        lines.for_each(|line| hide(hidden, origin, line));
    }
}

/// All that the cluster's Secrets hold, and the components' own kubeconfigs.
async fn hidden_in(cluster: &Cluster, hidden: &mut Hidden) -> Result<()> {
    let secrets = Api::<Secret>::all(cluster.client())
        .list(&ListParams::default())
        .await?;
    for secret in secrets {
        let name = secret.metadata.name.unwrap_or_default();
        for (key, value) in secret.data.unwrap_or_default() {
            let Ok(text) = String::from_utf8(value.0) else { continue };
            let origin = format!("Secret {name}, {key}");
            of_kubeconfig(hidden, &origin, &text);
            of_key(hidden, &origin, &text);
        }
    }
    for file in std::fs::read_dir(cluster.log_dir())? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "kubeconfig") {
            let text = std::fs::read_to_string(&path)?;
            of_kubeconfig(hidden, &path.display().to_string(), &text);
        }
    }
    Ok(())
}

fn scan(hidden: &Hidden, place: &str, text: &str) -> Result<()> {
    for (secret, origin) in hidden {
        ensure!(!text.contains(secret.as_str()), "{place} shows {origin}");
    }
    Ok(())
}

/// One more replica of the extender, which logs all that it can.
async fn talkative_extender(world: &World, log: &Path) -> Result<tokio::process::Child> {
    let seat = &world.product.source;
    let tls = &seat.front()?.serving_tls.0;
    let (port, admin) = (free_port()?, free_port()?);
    let output = std::fs::File::create(log)?;
    let child = tokio::process::Command::new(seat.programs().find("multicluster-extender"))
        .env("LOG_LEVEL", "debug")
        .env("LISTEN_ADDR", format!("127.0.0.1:{port}"))
        .env("ADMIN_ADDR", format!("127.0.0.1:{admin}"))
        .env("TLS_CERT_FILE", tls.join("tls.crt"))
        .env("TLS_PRIVATE_KEY_FILE", tls.join("tls.key"))
        .env("KUBECONFIG", seat.dir().join("multicluster-extender.kubeconfig"))
        .env("CLUSTER_NAME", "source")
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true)
        .spawn()?;
    eventually("the second extender to be ready", SOON, async || {
        Ok(admin_get(admin, "/readyz").await.ok())
    })
    .await?;
    Ok(child)
}

async fn nothing_is_shown(world: &World) -> Result<()> {
    let ns = namespace(world, "shows-nothing").await?;
    let bad = |user: Value| {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": world.target("us").url()}}],
            "users": [{"name": "u", "user": user}],
        })
        .to_string()
    };
    let scope = Scope::Namespace(ns);
    // No authority is given, so the connection fails; the other one cannot even be tried.
    let token = "a-token-that-nobody-must-ever-see-1";
    add_target(world.source(), "unverified", scope, &bad(json!({"token": token}))).await?;
    let key = "YS1rZXktdGhhdC1ub2JvZHktbXVzdC1ldmVyLXNlZQ==";
    let pair = json!({"client-key-data": key, "client-certificate-data": key});
    add_target(world.source(), "bad-key", scope, &bad(pair)).await?;
    world.product.connect("us", scope).await?;
    let template = Template::elected().on_virtual_nodes(multicluster_api::names::TARGET_NAMESPACE, ns);
    world.apply(&template.deployment(ns, "web", 2)).await?;
    world.running(ns, 2).await?;

    let log = world.source().log_dir().join("multicluster-extender-debug.log");
    let mut extender = talkative_extender(world, &log).await?;
    eventually("it to try all targets", SOON, async || {
        let text = std::fs::read_to_string(&log)?;
        Ok(["unverified", "bad-key"]
            .iter()
            .all(|name| text.contains(name))
            .then_some(()))
    })
    .await?;
    world.event(ns, "certificates or keys cannot be used").await?;
    extender.kill().await?;

    let mut hidden = Hidden::new();
    for seat in world.product.seats() {
        hidden_in(&seat.cluster, &mut hidden).await?;
    }
    ensure!(
        hidden.contains_key(token) && hidden.contains_key(key) && hidden.len() > 15,
        "{}",
        hidden.len()
    );
    let mut scanned = 0;
    for seat in world.product.seats() {
        for file in std::fs::read_dir(seat.cluster.log_dir())? {
            let path = file?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
                .to_owned();
            if name.starts_with("multicluster-") && name.ends_with(".log") {
                let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
                scan(&hidden, &format!("{} of {}", name, seat.cluster.name()), &text)?;
                scanned += 1;
            }
        }
        scan(&hidden, "an agent's metrics", &seat.agent_metrics().await?)?;
        let shown = [
            "get",
            "events,nodes,pods,podchaperons,targets,clustertargets,sources,clustersources",
            "-A",
            "-o",
            "json",
        ];
        let shown = seat.cluster.kubectl(&shown).await.context("what everybody sees")?;
        scan(&hidden, &format!("an object in {}", seat.cluster.name()), &shown)?;
    }
    // The agents', the extenders', the webhook's, the scheduler's.
    ensure!(scanned >= 7, "{scanned} logs");
    let front = world.product.source.front()?;
    for port in [front.admin_ports.0, front.admin_ports.1] {
        scan(&hidden, "metrics", &admin_get(port, "/metrics").await?)?;
    }
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![test("tokens_and_keys_are_shown_nowhere", async |world| {
        nothing_is_shown(&world).await
    })]
}
