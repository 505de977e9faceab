//! An identity never runs in two targets: whatever fails, until its user says otherwise or its fence has ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use multicluster_api::{TargetRef, names};
use serde_json::json;
use testbed::product::Scope;
use testbed::{Component, Network, eventually};

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::observer::Observer;
use super::world::{SOON, World, describe, is_running, node_of};

/// How long pods stay on a virtual node that is not Ready.
const TOLERATION: u64 = 5;
/// Until a virtual node is NotReady and its pods were evicted, on a busy machine.
const EVICTION: Duration = Duration::from_secs(60);

/// Pods that leave a target soon after it is lost, and stop at once; both targets get some. Only on virtual nodes with
/// these labels.
fn template(virtual_nodes: serde_json::Value, topology_key: &str) -> Template {
    let staying =
        |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION});
    let spread = json!({
        "topologyKey": topology_key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}},
    });
    let constraints = json!({"nodeSelector": virtual_nodes, "topologySpreadConstraints": [spread]});
    Template::elected()
        .annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, &constraints.to_string())
        .spec(
            "tolerations",
            json!([staying(names::NOT_READY), staying(names::UNREACHABLE)]),
        )
        .spec("terminationGracePeriodSeconds", json!(1))
}

/// The same, for the targets that all tests share.
fn anywhere() -> Template {
    template(json!({}), names::CLUSTER_TARGET_NAME)
}

/// A link that is cut, for as long as this lives: a test that fails leaves the next one a whole world.
struct Cut<'a> {
    world: &'a World,
    target: &'a str,
    since: Instant,
}

impl<'a> Cut<'a> {
    fn new(world: &'a World, target: &'a str) -> Self {
        world.link(target).set(Network::Dropping);
        let since = Instant::now();
        Self { world, target, since }
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.world.link(self.target).set(Network::Up);
    }
}

/// A StatefulSet whose pods start together.
async fn apply(world: &World, template: &Template, ns: &str, replicas: usize) -> Result<()> {
    let mut set = template.stateful_set(ns, "web", replicas);
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    world.apply(&set).await
}

fn uids(pods: &[Pod]) -> BTreeMap<String, String> {
    pods.iter().map(|pod| (pod.name_any(), pod.uid().unwrap())).collect()
}

/// Those of them on this node.
fn on<'a>(pods: &'a [Pod], node: &str) -> Vec<&'a Pod> {
    pods.iter().filter(|pod| node_of(pod) == node).collect()
}

/// Wait until all these pods are on their way out, and are the same as before.
async fn evicted(world: &World, ns: &str, pods: &[&Pod]) -> Result<()> {
    eventually(&format!("the pods of {ns} to be evicted"), EVICTION, async || {
        let now = world.pods(ns).await?;
        let known = uids(&now);
        for pod in pods {
            ensure!(
                known.get(&pod.name_any()) == pod.metadata.uid.as_ref(),
                "{} was replaced",
                pod.name_any()
            );
        }
        let going = |pod: &&&Pod| {
            let same = now.iter().find(|other| other.uid() == pod.uid());
            same.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some())
        };
        Ok((pods.iter().filter(going).count() == pods.len()).then_some(()))
    })
    .await
}

/// Wait until the namespace's pods run, none of them on `node` nor one of those from before.
async fn moved(world: &World, ns: &str, count: usize, old: &[&Pod], node: &str) -> Result<()> {
    eventually(&format!("the pods of {ns} to run elsewhere"), SOON * 2, async || {
        let pods = world.pods(ns).await?;
        let running = pods.iter().filter(|pod| is_running(pod)).count();
        let left = pods
            .iter()
            .filter(|pod| old.iter().any(|old| old.uid() == pod.uid()))
            .count();
        let there = on(&pods, node).len();
        ensure!(running == count && left + there == 0, "{}", describe(&pods));
        Ok(Some(()))
    })
    .await
}

/// All is as it was: the pods run, with one delegate each.
async fn settled(world: &World, ns: &str, count: usize) -> Result<Vec<Pod>> {
    let pods = world.running(ns, count).await?;
    eventually("one delegate each", SOON, async || {
        world.check_delegates(ns).await.map(Some)
    })
    .await?;
    Ok(pods)
}

fn virtual_node(target: &str) -> String {
    TargetRef::cluster(target).virtual_node().into()
}

/// The target that has most of these pods, and the other one.
fn busiest(pods: &[Pod]) -> (&'static str, &'static str) {
    let count = |target: &str| on(pods, &virtual_node(target)).len();
    if count("us") >= count("eu") {
        ("us", "eu")
    } else {
        ("eu", "us")
    }
}

async fn cut_with_and_without_a_fence(world: &World) -> Result<()> {
    let (plain, fenced) = (namespace(world, "cut").await?, namespace(world, "cut-fenced").await?);
    let observer = Observer::start(world, &[plain, fenced]);
    apply(world, &anywhere(), plain, 3).await?;
    apply(world, &anywhere().annotation(names::FENCE_AFTER, "20s"), fenced, 3).await?;
    let before = (settled(world, plain, 3).await?, settled(world, fenced, 3).await?);
    let (target, _) = busiest(&[before.0.clone(), before.1.clone()].concat());
    let node = virtual_node(target);
    let (plain_there, fenced_there) = (on(&before.0, &node), on(&before.1, &node));
    ensure!(
        !plain_there.is_empty() && !fenced_there.is_empty(),
        "{target} has no pod of both sets: {} {}",
        describe(&before.0),
        describe(&before.1)
    );

    // Shorter than anything: nothing happens.
    let cut = Cut::new(world, target);
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(cut);
    world.product.wait_node_ready(&node).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = (settled(world, plain, 3).await?, settled(world, fenced, 3).await?);
    ensure!(
        (uids(&after.0), uids(&after.1)) == (uids(&before.0), uids(&before.1)),
        "a short cut has replaced pods"
    );

    let cut = Cut::new(world, target);
    evicted(world, plain, &plain_there).await?;
    // The target stops the fenced ones by itself; only then they start elsewhere.
    eventually(
        "the fence to stop delegates in the target that is cut off",
        SOON,
        async || {
            let left = world.delegates(target, fenced).await?;
            ensure!(left.is_empty(), "{}", describe(&left));
            Ok(Some(()))
        },
    )
    .await?;
    let stopped = cut.since.elapsed();
    moved(world, fenced, 3, &fenced_there, &node).await?;
    let elsewhere = cut.since.elapsed();
    eprintln!("fence-after 20s: stopped {stopped:.1?} after the cut, running elsewhere after {elsewhere:.1?}");
    // 20 s of fence, 1 s of grace, 15 s for clocks and margin; the last word may be as old as a heartbeat.
    ensure!(stopped >= Duration::from_secs(10), "stopped after {stopped:?} already");
    ensure!(elsewhere <= Duration::from_secs(60), "only after {elsewhere:?}");

    // The others go nowhere, and those in the other target run on.
    evicted(world, plain, &plain_there).await?;
    let there = world.delegates(target, plain).await?;
    ensure!(there.len() == plain_there.len(), "{}", describe(&there));
    ensure!(world.pods(plain).await?.iter().filter(|pod| is_running(pod)).count() == 3 - plain_there.len());

    drop(cut);
    settled(world, plain, 3).await?;
    settled(world, fenced, 3).await?;
    observer.check()
}

async fn overruled(world: &World) -> Result<()> {
    let (tainted, removed) = (namespace(world, "tainted").await?, namespace(world, "removed").await?);
    let observer = Observer::start(world, &[tainted, removed]);
    for target in ["us", "eu"] {
        let scope = Scope::Namespace(removed);
        world.product.connect_through(world.link(target), target, scope).await?;
    }
    apply(world, &anywhere(), tainted, 3).await?;
    apply(
        world,
        &template(json!({names::TARGET_NAMESPACE: removed}), names::TARGET_NAME),
        removed,
        3,
    )
    .await?;
    let before = (settled(world, tainted, 3).await?, settled(world, removed, 3).await?);
    let has = |target: &str| {
        let own: String = TargetRef::namespaced(removed, target).virtual_node().into();
        !on(&before.0, &virtual_node(target)).is_empty() && !on(&before.1, &own).is_empty()
    };
    let target = ["us", "eu"]
        .into_iter()
        .find(|target| has(target))
        .expect("a target with pods of both sets");
    let (node, own): (String, String) = (
        virtual_node(target),
        TargetRef::namespaced(removed, target).virtual_node().into(),
    );
    let (tainted_there, removed_there) = (on(&before.0, &node), on(&before.1, &own));

    let cut = Cut::new(world, target);
    evicted(world, tainted, &tainted_there).await?;
    evicted(world, removed, &removed_there).await?;
    observer.check()?;

    observer.overrule(tainted);
    let taint = format!("{}=nodeshutdown:NoExecute", names::OUT_OF_SERVICE);
    world.source().kubectl(&["taint", "node", &node, &taint]).await?;
    moved(world, tainted, 3, &tainted_there, &node).await?;
    evicted(world, removed, &removed_there).await?;
    observer.check()?;

    observer.overrule(removed);
    world
        .source()
        .kubectl(&["delete", "target", "-n", removed, target, "--wait=false"])
        .await?;
    moved(world, removed, 3, &removed_there, &own).await?;

    // What is left over there goes, and the taint does no harm while it is forgotten.
    drop(cut);
    world.product.wait_node_ready(&node).await?;
    settled(world, tainted, 3).await?;
    world
        .source()
        .kubectl(&["taint", "node", &node, &format!("{}-", names::OUT_OF_SERVICE)])
        .await?;
    world
        .product
        .connect_through(world.link(target), target, Scope::Namespace(removed))
        .await?;
    settled(world, removed, 3).await?;
    observer.check()?;
    // The other tests need no Targets of this namespace.
    world
        .source()
        .kubectl(&["delete", "statefulset,target", "-n", removed, "--all"])
        .await?;
    Ok(())
}

async fn unbound_attempt(world: &World) -> Result<()> {
    let ns = namespace(world, "attempted").await?;
    let observer = Observer::start(world, &[ns]);
    let schedulers = ["us", "eu"].map(|target| world.target(target).component(Component::Scheduler));
    for scheduler in &schedulers {
        scheduler.as_ref().unwrap().pause()?;
    }
    apply(world, &anywhere(), ns, 1).await?;
    // Its delegate waits for a scheduler that does not decide, so the pod is not bound.
    let (target, other) = eventually("an attempt", SOON, async || {
        for (target, other) in [("us", "eu"), ("eu", "us")] {
            if !world.delegates(target, ns).await?.is_empty() {
                return Ok(Some((target, other)));
            }
        }
        Ok(None)
    })
    .await?;
    let pod = world.pods(ns).await?.remove(0);
    ensure!(pod.annotations().get(names::ATTEMPTED_IN) == Some(&virtual_node(target)) && node_of(&pod).is_empty());

    let cut = Cut::new(world, target);
    let source = &world.product.source;
    source.front()?.extender.restart().await?;
    source.agent.restart().await?;
    source.wait_ready().await?;
    for scheduler in &schedulers {
        scheduler.as_ref().unwrap().resume()?;
    }
    // The delegate runs over there, and nobody in the source remembers it.
    world.event(ns, "may still run in").await?;
    ensure!(world.delegates(other, ns).await?.is_empty(), "started in {other} too");
    // Also when it is deleted, which nobody over there hears of.
    world
        .source()
        .kubectl(&["delete", "pod", "-n", ns, "web-0", "--wait=false"])
        .await?;
    source.agent.restart().await?;
    source.wait_ready().await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let left = world.pods(ns).await?;
    ensure!(uids(&left) == uids(std::slice::from_ref(&pod)), "{}", describe(&left));
    ensure!(world.delegates(other, ns).await?.is_empty(), "started in {other} too");

    drop(cut);
    let now = settled(world, ns, 1).await?;
    ensure!(now[0].uid() != pod.uid(), "the deleted pod is still there");
    observer.check()
}

pub fn tests() -> Vec<Test> {
    vec![
        alone("never_twice_when_a_link_is_cut", async |world| {
            cut_with_and_without_a_fence(&world).await
        }),
        alone("never_twice_unless_a_user_overrules", async |world| {
            overruled(&world).await
        }),
        alone("never_twice_when_nobody_remembers_the_attempt", async |world| {
            unbound_attempt(&world).await
        }),
    ]
}
