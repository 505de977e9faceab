//! Credentials are renewed, and proxies restart, while pods come and go: nobody notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use multicluster_api::names;
use parking_lot::Mutex;
use testbed::eventually;
use tokio::task::JoinHandle;

use super::harness::alone;
use super::observer::readiness;
use super::tutorial::{DEFAULT, TARGETS, regional};
use super::world::{SOON, Test, World, describe, is_running, phase};

/// Pods of each Deployment.
const REPLICAS: usize = 4;
/// How often credentials are renewed.
const RENEWALS: usize = 4;

pub fn tests() -> Vec<Test> {
    vec![
        alone("credentials_are_renewed_under_load", async |world| {
            let load = Load::start(&world, "renewed").await?;
            for number in 0..RENEWALS {
                let before = secrets(&world).await?;
                for (target, _) in TARGETS {
                    renew(&world, target, number).await?;
                }
                eventually("credentials to be renewed", SOON, async || {
                    let now = secrets(&world).await?;
                    let all = before.iter().all(|(name, data)| now.get(name) != Some(data));
                    Ok(all.then_some(()))
                })
                .await?;
                load.rolled(&world).await?;
            }
            // The old ones are not held on to: what begins anew has the new ones alone.
            for (target, _) in TARGETS {
                let replicas = &world.proxy(target)?.replicas;
                replicas.restart().await?;
                replicas.wait_ready().await?;
            }
            load.end(&world).await
        }),
        alone("proxies_restart_under_load", async |world| {
            let load = Load::start(&world, "restarted").await?;
            for (target, _) in TARGETS {
                let replicas = &world.proxy(target)?.replicas;
                for replica in replicas.all() {
                    let status = replica.stop().await?;
                    ensure!(status.success(), "ended with {status}: {}", replica.log_tail());
                    replica.start()?;
                    replicas.wait_ready().await?;
                }
                load.rolled(&world).await?;
                replicas.kill().await?;
                replicas.start()?;
                replicas.wait_ready().await?;
                load.rolled(&world).await?;
            }
            load.end(&world).await
        }),
    ]
}

/// Ask for new credentials.
pub async fn renew(world: &World, kubeconfig: &str, number: usize) -> Result<()> {
    let annotation = format!("{}={number}-{kubeconfig}", names::RENEW);
    let args = [
        "annotate",
        "kubeconfigs.multicluster.admiralty.io",
        kubeconfig,
        "--overwrite",
        &annotation,
    ];
    world
        .source()
        .kubectl(&[&args[..], &["--namespace", DEFAULT]].concat())
        .await
        .map(drop)
}

/// The kubeconfigs that were issued, by the names of their Secrets.
pub async fn secrets(world: &World) -> Result<BTreeMap<String, String>> {
    let secrets = Api::<Secret>::namespaced(world.source().client(), DEFAULT);
    let mut found = BTreeMap::new();
    for (target, _) in TARGETS {
        let secret = secrets.get(target).await?;
        ensure!(
            secret.type_.as_deref() == Some(names::KUBECONFIG_SECRET),
            "{:?}",
            secret.type_
        );
        let data = secret
            .data
            .unwrap_or_default()
            .remove("config")
            .context("a kubeconfig")?;
        found.insert(target.to_owned(), String::from_utf8(data.0)?);
    }
    Ok(found)
}

/// In each target a Deployment whose pods stay, and one whose pods are replaced all the time; and eyes on all of them.
struct Load {
    name: &'static str,
    nodes: Vec<(String, String)>,
    trouble: Arc<Mutex<Vec<String>>>,
    steady: Vec<String>,
    eyes: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(world: &World, name: &'static str) -> Result<Self> {
        world.tutorial().await?;
        for (target, _) in TARGETS {
            for kind in ["steady", "rolling"] {
                world
                    .apply(&regional(target, &format!("{kind}-{name}-{target}")))
                    .await?;
            }
        }
        running(world, name).await?;
        let trouble = Arc::<Mutex<Vec<String>>>::default();
        let eyes = vec![
            tokio::spawn(watch_pods(world.source().client(), trouble.clone())),
            tokio::spawn(watch_nodes(world.source().client(), trouble.clone())),
        ];
        Ok(Self {
            name,
            nodes: readiness(world).await?,
            trouble,
            steady: steady(world, name).await?,
            eyes,
        })
    }

    /// All pods of the rolling Deployments are replaced.
    async fn rolled(&self, world: &World) -> Result<()> {
        for (target, _) in TARGETS {
            let deployment = format!("deployment/rolling-{}-{target}", self.name);
            let commands = [
                vec!["rollout", "restart", &deployment],
                vec!["rollout", "status", &deployment, "--timeout=90s"],
            ];
            for args in commands {
                world
                    .source()
                    .kubectl(&[&args[..], &["--namespace", DEFAULT]].concat())
                    .await?;
            }
        }
        self.check()
    }

    fn check(&self) -> Result<()> {
        let trouble = self.trouble.lock();
        ensure!(trouble.is_empty(), "{}", trouble.join("; "));
        Ok(())
    }

    /// Nothing was ever wrong, and what was to stay has stayed.
    async fn end(self, world: &World) -> Result<()> {
        self.rolled(world).await?;
        running(world, self.name).await?;
        ensure!(steady(world, self.name).await? == self.steady, "pods were replaced");
        ensure!(
            readiness(world).await? == self.nodes,
            "a virtual node was not Ready for a while"
        );
        self.check()?;
        for (target, _) in TARGETS {
            for kind in ["steady", "rolling"] {
                let deployment = format!("deployment/{kind}-{}-{target}", self.name);
                world
                    .source()
                    .kubectl(&["delete", "--namespace", DEFAULT, &deployment])
                    .await?;
            }
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.eyes.iter().for_each(JoinHandle::abort);
    }
}

/// Wait until all pods of these Deployments run, and no more.
async fn running(world: &World, name: &str) -> Result<()> {
    let mark = format!("-{name}-");
    eventually(&format!("the pods of {name} to run"), SOON, async || {
        let mut pods = world.pods(DEFAULT).await?;
        pods.retain(|pod| pod.name_any().contains(&mark));
        let all = pods.len() == TARGETS.len() * 2 * REPLICAS && pods.iter().all(is_running);
        ensure!(all, "{}", describe(&pods));
        Ok(Some(()))
    })
    .await
}

/// UIDs of the pods that stay.
async fn steady(world: &World, name: &str) -> Result<Vec<String>> {
    let pods = world.pods(DEFAULT).await?;
    let prefix = format!("steady-{name}-");
    let mut uids: Vec<_> = pods
        .iter()
        .filter(|pod| pod.name_any().starts_with(&prefix))
        .filter_map(ResourceExt::uid)
        .collect();
    uids.sort();
    Ok(uids)
}

async fn watch_pods(client: kube::Client, trouble: Arc<Mutex<Vec<String>>>) {
    let pods = Api::<Pod>::namespaced(client, DEFAULT);
    loop {
        if let Ok(list) = pods.list(&ListParams::default()).await {
            let bad = |pod: &&Pod| {
                let stays = pod.name_any().starts_with("steady-");
                phase(pod) == "Failed" || (stays && !is_running(pod))
            };
            let bad: Vec<_> = list.items.iter().filter(bad).cloned().collect();
            if !bad.is_empty() {
                trouble.lock().push(describe(&bad));
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn watch_nodes(client: kube::Client, trouble: Arc<Mutex<Vec<String>>>) {
    let nodes = Api::<Node>::all(client);
    loop {
        if let Ok(list) = nodes.list(&ListParams::default()).await {
            for node in list {
                let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
                let ready = conditions.clone().any(|c| c.type_ == "Ready" && c.status == "True");
                if !ready {
                    let conditions: Vec<_> = conditions.cloned().collect();
                    trouble
                        .lock()
                        .push(format!("{} is not Ready: {conditions:?}", node.name_any()));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
