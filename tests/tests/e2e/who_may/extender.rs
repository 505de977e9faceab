//! The extender answers kube-scheduler alone.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use testbed::https::{Connection, client_config};
use testbed::product::NAMESPACE;
use testbed::{Authority, KeyPair};

use crate::fixtures::{Template, namespace};
use crate::harness::{Test, test};
use crate::world::{World, node_of};

const SERVER: &str = "multicluster-extender.multicluster-scheduler.svc";
/// Common name of the scheduler's certificate.
const SCHEDULER: &str = "multicluster-scheduler";

/// A folder with this client certificate, and with the authority of the extender's own.
fn folder(world: &World, name: &str, pair: &KeyPair) -> Result<PathBuf> {
    let front = world.product.source.front()?;
    let folder = world.product.source.dir().join(name);
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(front.scheduler_tls.join("ca.crt"), folder.join("ca.crt"))?;
    pair.write(&folder, "tls")?;
    Ok(folder)
}

/// What the extender answers to a caller with the certificate of this folder, or with none.
async fn ask(world: &World, caller: Option<&PathBuf>, path: &str, body: String) -> Result<(u16, String)> {
    let front = world.product.source.front()?;
    let config = client_config(caller.unwrap_or(&front.scheduler_tls), caller.is_some())?;
    let mut connection = Connection::open(front.extender_port, SERVER, config).await?;
    let (status, answer) = connection.request(path, body.into()).await?;
    Ok((status.as_u16(), String::from_utf8_lossy(&answer).into_owned()))
}

/// The authority that cert-manager made for the product.
async fn authority(world: &World) -> Result<Authority> {
    let folder = world.product.source.dir().join("multicluster-ca");
    world
        .source()
        .secret_to_dir(NAMESPACE, "multicluster-ca", &folder)
        .await?;
    let read = |name: &str| std::fs::read_to_string(folder.join(name));
    Authority::of_cert_manager("multicluster-scheduler-ca", &read("tls.crt")?, &read("tls.key")?)
}

pub fn tests() -> Vec<Test> {
    vec![
        test(
            "the_extender_answers_the_schedulers_certificate_alone",
            async |world: Arc<World>| {
                let front = world.product.source.front()?;
                let (ours, stranger) = (authority(&world).await?, Authority::new("multicluster-scheduler-ca")?);
                let named = |name: &str, pair: Result<KeyPair>| folder(&world, name, &pair?).map(Some);
                // The same authority, so that what follows is refused for its own reason.
                let good = named("another-of-ours", ours.client(SCHEDULER, None))?;
                let filter = || json!({"Pod": {}, "NodeNames": ["own-0"]}).to_string();
                for caller in [Some(front.scheduler_tls.clone()), good] {
                    let (status, answer) = ask(&world, caller.as_ref(), "/filter", filter()).await?;
                    ensure!(status == 200 && answer.contains("own-0"), "{status} {answer}");
                }
                for (what, caller) in [
                    ("no certificate", None),
                    (
                        "another authority of that name",
                        named("stranger", stranger.client(SCHEDULER, None))?,
                    ),
                    (
                        "another name",
                        named("other-name", ours.client("kube-scheduler", None))?,
                    ),
                    (
                        "a longer name",
                        named("longer-name", ours.client("multicluster-scheduler2", None))?,
                    ),
                    ("expired", named("expired", ours.expired_client(SCHEDULER))?),
                    (
                        "for servers only",
                        named("server-only", ours.server(SCHEDULER, &[SCHEDULER]))?,
                    ),
                    ("the webhook's", Some(front.serving_tls.1.clone())),
                    ("the extender's own", Some(front.serving_tls.0.clone())),
                ] {
                    for path in ["/filter", "/prioritize", "/preempt", "/bind", "/healthz", "/"] {
                        let answer = ask(&world, caller.as_ref(), path, filter()).await;
                        ensure!(answer.is_err(), "{what}, {path}: {answer:?}");
                    }
                }
                Ok(())
            },
        ),
        test("the_scheduler_itself_cannot_bind_across_namespaces", async |world| {
            let (mine, theirs) = (
                namespace(&world, "bind-mine").await?,
                namespace(&world, "bind-theirs").await?,
            );
            let scope = testbed::product::Scope::Namespace(theirs);
            let node = world.product.connect("us", scope).await?;
            // It waits for a node that does not exist, so that nobody else binds it.
            let waiting = Template::elected().on_virtual_nodes("tests/nowhere", "x");
            world.apply(&waiting.pod(mine, "waiting")).await?;
            let pod = world.pods(mine).await?.remove(0);
            let bind = json!({
                "PodName": "waiting", "PodNamespace": mine, "PodUID": pod.metadata.uid, "Node": node,
            });
            let tls = world.product.source.front()?.scheduler_tls.clone();
            let (status, answer) = ask(&world, Some(&tls), "/bind", bind.to_string()).await?;
            ensure!(
                status == 200 && answer.contains("serves another namespace"),
                "{status} {answer}"
            );
            ensure!(node_of(&world.pods(mine).await?[0]).is_empty());
            ensure!(world.chaperons("us", mine).await?.is_empty() && world.chaperons("us", theirs).await?.is_empty());
            Ok(())
        }),
        test("a_hand_made_proxy_pod_cannot_be_bound_directly", async |world| {
            let ns = "forged-bind";
            super::proxy_pods::plain_namespace(&world, ns).await?;
            world.apply(&super::proxy_pods::forged(ns, "forged")).await?;
            let pod = world.pods(ns).await?.remove(0);
            let bind = json!({
                "PodName": "forged", "PodNamespace": ns, "PodUID": pod.metadata.uid, "Node": "admiralty-us",
            });
            let tls = world.product.source.front()?.scheduler_tls.clone();
            let (status, answer) = ask(&world, Some(&tls), "/bind", bind.to_string()).await?;
            ensure!(status == 200 && answer.contains("does not serve"), "{status} {answer}");
            ensure!(node_of(&world.pods(ns).await?[0]).is_empty());
            super::proxy_pods::nothing_there(&world, ns).await
        }),
    ]
}
