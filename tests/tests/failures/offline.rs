//! One target fails, in every way: it is noticed, avoided and left, and set to rights when it is back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::product::Scope;
use testbed::{Component, Network, eventually};

use super::fixtures::namespace;
use super::harness::{Test, alone};
use super::support::{node, preferring, tolerating, uids};
use super::world::{SOON, World, describe, node_of, phase};

/// How soon a failure shows, and how soon a target that is back is set to rights.
const PROMISED: Duration = Duration::from_secs(10);
/// How soon new pods run elsewhere once it shows.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Pods that tolerate a target that is away for 5 s leave before those that have the default of 30 s.
const BEFORE_DEFAULT: Duration = Duration::from_secs(25);

/// A way to fail.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    Hung,
    Link(Network),
    Revoked,
    AgentDead,
}

impl Fault {
    async fn begin(self, world: &World, target: &str) -> Result<()> {
        let seat = world.product.target(target)?;
        match self {
            Self::Killed => drop(seat.cluster.component(Component::ApiServer)?.kill().await?),
            Self::Hung => seat.cluster.component(Component::ApiServer)?.pause()?,
            Self::Link(network) => world.link(target).set(network),
            Self::Revoked => drop(seat.cluster.kubectl(&["delete", "clustersource", "management"]).await?),
            Self::AgentDead => drop(seat.agent.kill().await?),
        }
        Ok(())
    }

    /// Set right what was broken, whatever the test came to.
    async fn end(self, world: &World, target: &str) -> Result<()> {
        let seat = world.product.target(target)?;
        match self {
            Self::Killed => {
                seat.cluster.component(Component::ApiServer)?.start()?;
                seat.cluster.wait_ready(SOON).await?;
            }
            Self::Hung => seat.cluster.component(Component::ApiServer)?.resume()?,
            Self::Link(_) => world.link(target).set(Network::Up),
            Self::Revoked => drop(
                world
                    .product
                    .connect_through(world.link(target), target, Scope::Cluster)
                    .await?,
            ),
            Self::AgentDead => seat.agent.start()?,
        }
        Ok(())
    }

    /// Do the target's own controllers have to find their API server again first?
    fn cuts_off_controllers(self) -> bool {
        matches!(self, Self::Killed | Self::Hung)
    }
}

/// What is in a target besides our pods: it must stay as it is.
struct Bystanders {
    target: String,
    namespace: String,
    uids: BTreeSet<String>,
}

impl Bystanders {
    async fn new(world: &World, target: &str, namespace: &str) -> Result<Self> {
        let namespace = format!("{namespace}-others");
        let object = |value: Value| value.to_string();
        let meta = |name: &str, labels: Value| json!({"name": name, "namespace": namespace, "labels": labels});
        let container = json!({"containers": [{"name": "main", "image": "none"}]});
        let foreign = json!({names::PARENT_CLUSTER_NAME: "another-source", names::PARENT_UID: "1"});
        for value in [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("own", json!({})), "spec": container}),
            json!({
                "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "PodChaperon",
                "metadata": meta("foreign", foreign), "spec": container,
            }),
        ] {
            eventually("the bystanders", SOON, async || {
                world.target(target).apply_yaml(&object(value.clone())).await.map(Some)
            })
            .await?;
        }
        let mut all = Self {
            target: target.into(),
            namespace,
            uids: BTreeSet::new(),
        };
        all.uids = eventually("the foreign delegate", SOON, async || {
            let found = all.find(world).await?;
            Ok((found.len() == 3).then_some(found))
        })
        .await?;
        Ok(all)
    }

    async fn find(&self, world: &World) -> Result<BTreeSet<String>> {
        let pods = kube::Api::<Pod>::namespaced(world.target(&self.target).client(), &self.namespace);
        let mut all = uids(&pods.list(&Default::default()).await?.items);
        all.extend(uids(&world.chaperons(&self.target, &self.namespace).await?));
        Ok(all)
    }
}

/// The whole story of one target that fails.
async fn story(world: &World, ns: &'static str, fault: Fault, target: &str, reasons: &[&str]) -> Result<()> {
    let ns = namespace(world, ns).await?;
    let other = if target == "us" { "eu" } else { "us" };
    let (leaves, stays) = (
        tolerating(Some(5)).deployment(ns, "leaves", 4),
        tolerating(None).deployment(ns, "stays", 2),
    );
    world.begin_in(target, other, &[leaves, stays]).await?;
    let before = uids(&world.pods_of(ns, "leaves").await?);
    let staying = uids(&world.pods_of(ns, "stays").await?);
    let untouched = |delegates: Vec<Pod>| -> BTreeSet<String> {
        let of_stays = |pod: &&Pod| staying.contains(&pod.labels()[names::PARENT_UID]);
        delegates.iter().filter(of_stays).filter_map(ResourceExt::uid).collect()
    };
    let running = untouched(world.delegates(target, ns).await?);
    let bystanders = Bystanders::new(world, target, ns).await?;

    let away = async {
        fault.begin(world, target).await?;
        let broken = Instant::now();
        world.apply(&preferring(target).deployment(ns, "early", 4)).await?;
        let early = async {
            let (_, took) = world.running_of(ns, "early", 4).await?;
            anyhow::Ok(took)
        };
        let noticed = async {
            world.not_ready(target, reasons).await?;
            let noticed = broken.elapsed();
            world.apply(&preferring(target).deployment(ns, "fresh", 4)).await?;
            let (fresh, took) = world.running_of(ns, "fresh", 4).await?;
            ensure!(
                fresh.iter().all(|pod| node_of(pod) == node(other)),
                "{}",
                describe(&fresh)
            );
            let (moved, _) = world.running_apart_from(ns, "leaves", 4, &before).await?;
            ensure!(
                moved.iter().all(|pod| node_of(pod) == node(other)),
                "{}",
                describe(&moved)
            );
            Ok((noticed, took, broken.elapsed() - noticed))
        };
        let (early, (noticed, fresh, left)) = tokio::try_join!(early, noticed)?;
        eprintln!(
            "{fault:?}: noticed after {noticed:.1?}, 4 pods ran elsewhere {fresh:.1?} later, pods that tolerate 5 s \
             had left after {left:.1?}; 4 pods made right after the fault ran after {early:.1?}"
        );
        ensure!(noticed < PROMISED, "it was noticed only after {noticed:?}");
        ensure!(fresh < AT_ONCE, "new pods ran elsewhere only after {fresh:?}");
        ensure!(left < BEFORE_DEFAULT, "pods left only after {left:?}");
        ensure!(
            uids(&world.pods_of(ns, "stays").await?) == staying,
            "pods that tolerate it for ever were replaced"
        );
        Ok(())
    };
    let away = away.await;
    fault.end(world, target).await?;
    away?;

    // What was replaced goes, and nothing else.
    let back = Instant::now();
    eventually("what was replaced to be removed", SOON, async || {
        let (left, undeleted) = world.left_overs(target, ns).await?;
        let done = match fault.cuts_off_controllers() {
            true => undeleted.is_empty(),
            false => left.is_empty(),
        };
        ensure!(done, "left: {left:?}, of these not deleted: {undeleted:?}");
        Ok(Some(()))
    })
    .await?;
    let cleared = back.elapsed();
    eprintln!("{fault:?}: what was replaced was removed {cleared:.1?} after the return");
    ensure!(
        cleared < PROMISED,
        "what was replaced was removed only after {cleared:?}"
    );
    world.product.wait_node_ready(&node(target)).await?;
    if fault.cuts_off_controllers() {
        all_there(world, ns, 14).await?;
    } else {
        world.running(ns, 14).await?;
    }
    eventually("one delegate each", SOON, async || {
        world.check_delegates(ns).await.map(Some)
    })
    .await?;
    ensure!(
        uids(&world.pods_of(ns, "stays").await?) == staying,
        "proxy pods were replaced"
    );
    ensure!(
        untouched(world.delegates(target, ns).await?) == running,
        "delegates were replaced"
    );
    ensure!(
        bystanders.find(world).await? == bystanders.uids,
        "others' objects were touched"
    );
    Ok(())
}

/// All pods run, whether or not they are ready. The target's node controller may have seen its API server again before kwok
/// did, and taken nodes for lost; a kubelet would then say again that its pods are ready, kwok does not.
async fn all_there(world: &World, ns: &str, count: usize) -> Result<()> {
    let what = format!("{count} pods in namespace {ns}, none of them going");
    eventually(&what, SOON, async || {
        let pods = world.pods(ns).await?;
        let stays = |pod: &&Pod| phase(pod) == "Running" && pod.metadata.deletion_timestamp.is_none();
        let there = pods.iter().filter(stays).count();
        ensure!(there == count && pods.len() == count, "{}", describe(&pods));
        Ok(Some(()))
    })
    .await
}

fn fault(name: &'static str, ns: &'static str, fault: Fault, target: &'static str, reasons: &'static [&str]) -> Test {
    alone(name, move |world: Arc<World>| async move {
        let told = story(&world, ns, fault, target, reasons).await;
        let all = ["delete", "deployments", "--all", "--wait=false", "-n", ns];
        world.source().kubectl(&all).await?;
        told
    })
}

pub fn tests() -> Vec<Test> {
    let slow = Network::Slow(Duration::from_secs(2));
    vec![
        fault(
            "a_target_whose_api_server_is_killed",
            "api-killed",
            Fault::Killed,
            "us",
            &["APIServerUnreachable"],
        ),
        fault(
            "a_target_whose_api_server_hangs",
            "api-hangs",
            Fault::Hung,
            "eu",
            &["APIServerTimeout"],
        ),
        fault(
            "a_target_whose_packets_vanish",
            "dropping",
            Fault::Link(Network::Dropping),
            "us",
            &["APIServerTimeout"],
        ),
        fault(
            "a_target_whose_connections_are_reset",
            "resetting",
            Fault::Link(Network::Resetting),
            "eu",
            &["APIServerUnreachable"],
        ),
        fault(
            "a_target_that_answers_slowly",
            "slow",
            Fault::Link(slow),
            "us",
            &["TargetSlow"],
        ),
        fault(
            "a_target_that_revokes_the_credentials",
            "revoked",
            Fault::Revoked,
            "eu",
            &["CredentialsRejected"],
        ),
        fault(
            "a_target_whose_agent_is_dead",
            "agent-dead",
            Fault::AgentDead,
            "us",
            &["AgentNotReporting"],
        ),
        alone("a_lossy_link_changes_little", async |world| {
            let ns = namespace(&world, "lossy").await?;
            world
                .begin_in("us", "eu", &[tolerating(Some(5)).deployment(ns, "web", 4)])
                .await?;
            world.link("us").set(Network::Lossy(0.3));
            let bad = world.nothing_twice(ns, async {
                let (mut last, mut changes) = (String::new(), 0);
                for _ in 0..80 {
                    let ready = world.node_ready("us").await?;
                    changes += i32::from(!last.is_empty() && ready.status != last);
                    last = ready.status;
                    let pods = world.pods_of(ns, "web").await?;
                    ensure!(pods.len() <= 4, "{}", describe(&pods));
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                // There and back and there again is the most that 40 s have room for.
                ensure!(changes <= 3, "the node changed {changes} times");
                Ok(())
            });
            let bad = bad.await;
            world.link("us").set(Network::Up);
            bad?;
            world.running(ns, 4).await?;
            eventually("one delegate each", SOON, async || {
                world.check_delegates(ns).await.map(Some)
            })
            .await
        }),
    ]
}
