//! Targets that are edited while pods run in them: other credentials, other clusters, other kinds.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt};
use multicluster_api::{Target, TargetRef, names};
use serde_json::{Value, json};
use testbed::product::{Scope, add_target, grant};
use testbed::{Cluster, eventually};

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone, test};
use super::world::{SOON, World, describe, node_of};

/// Longer than the API server remembers that a token was good (10 s), and than a heartbeat may be missing.
const REMEMBERED: Duration = Duration::from_secs(12);

fn target(ns: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Target",
        "metadata": {"name": "t", "namespace": ns}, "spec": {"kubeconfigSecret": spec},
    })
}

fn secret(ns: &str, kubeconfig: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t", "namespace": ns},
        "stringData": {"config": kubeconfig},
    })
}

/// One kubeconfig of several, with a context for each cluster.
fn merged(kubeconfigs: &[(&str, String)]) -> Result<String> {
    let mut all = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": kubeconfigs[0].0,
        "clusters": [], "users": [], "contexts": [],
    });
    for (name, kubeconfig) in kubeconfigs {
        let one: Value = serde_saphyr::from_str(kubeconfig)?;
        for (list, what) in [("clusters", "cluster"), ("users", "user")] {
            let entry = json!({ "name": name, what: one[list][0][what] });
            all[list].as_array_mut().context("a list")?.push(entry);
        }
        let context = json!({ "name": name, "context": { "cluster": name, "user": name } });
        all["contexts"].as_array_mut().context("a list")?.push(context);
    }
    Ok(all.to_string())
}

/// A Target `t` in a namespace of its own that leads to us, with both clusters in its kubeconfig, and pods in it: a
/// Deployment of two and a StatefulSet of two.
async fn two_clusters(world: &World, ns: &'static str) -> Result<String> {
    let ns = namespace(world, ns).await?;
    let both = [
        ("us", grant(world.target("us"), Scope::Namespace(ns)).await?),
        ("eu", grant(world.target("eu"), Scope::Namespace(ns)).await?),
    ];
    world.apply(&secret(ns, &merged(&both)?)).await?;
    world.apply(&target(ns, json!({"name": "t", "context": "us"}))).await?;
    let node = TargetRef::namespaced(ns, "t").virtual_node().to_string();
    world.product.wait_node_ready(&node).await?;
    let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
    world.apply(&template.deployment(ns, "web", 2)).await?;
    world.apply(&template.stateful_set(ns, "db", 2)).await?;
    world.running(ns, 4).await?;
    ensure!(world.delegates("us", ns).await?.len() == 4);
    Ok(node)
}

/// Wait until all delegates of a namespace are in one target, one for each pod; and see that at no time a pod of a
/// StatefulSet has two.
async fn moved(world: &World, ns: &str, to: &str, pods: usize) -> Result<()> {
    let watched = async {
        loop {
            let mut identities = BTreeMap::new();
            for target in ["us", "eu"] {
                for delegate in world.delegates(target, ns).await? {
                    let (name, uid) = (delegate.annotations()[names::PARENT_NAME].clone(), delegate.uid());
                    let other = identities.insert(name.clone(), uid);
                    ensure!(other.is_none() || !name.starts_with("db-"), "{name} runs twice");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let what = format!("all pods to run in {to}");
    let arrived = eventually(&what, SOON, async || {
        let there = world.delegates(to, ns).await?.len();
        let both = world.delegates("us", ns).await?.len() + world.delegates("eu", ns).await?.len();
        let running = world
            .pods(ns)
            .await?
            .iter()
            .filter(|pod| super::world::is_running(pod))
            .count();
        ensure!(
            (there, both, running) == (pods, pods, pods),
            "{there} delegates there, {both} in all, {}",
            describe(&world.pods(ns).await?)
        );
        Ok(Some(()))
    });
    tokio::select! { result = watched => result, result = arrived => result }
}

fn uids(pods: &[Pod]) -> Vec<Option<String>> {
    let mut uids: Vec<_> = pods.iter().map(ResourceExt::uid).collect();
    uids.sort();
    uids
}

/// The Target's Ready condition: reason, message, and since when.
async fn ready(world: &World, ns: &str) -> Result<(String, String, String)> {
    let found = Api::<Target>::namespaced(world.source().client(), ns).get("t").await?;
    let conditions = found.status.unwrap_or_default().conditions;
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    let ready = ready.context("no Ready condition yet")?;
    Ok((ready.reason, ready.message, format!("{:?}", ready.last_transition_time)))
}

async fn reason(world: &World, ns: &str, wanted: &str) -> Result<String> {
    eventually(&format!("the Target in {ns} to be {wanted}"), SOON, async || {
        let (reason, message, _) = ready(world, ns).await?;
        ensure!(reason == wanted, "{reason}: {message}");
        Ok(Some(message))
    })
    .await
}

/// Delete the Source (or ClusterSource) `management` of a target, and wait until its identity has lost its rights.
async fn revoke(target: &Cluster, kind: &str, ns: &str) -> Result<()> {
    target.kubectl(&["delete", kind, "-n", ns, "management"]).await?;
    eventually("the bindings to go", SOON, async || {
        let bindings = target
            .kubectl(&["get", "rolebindings,clusterrolebindings", "-A", "-o", "name"])
            .await?;
        let prefix = match kind {
            "source" => format!("multicluster-source-{ns}-management-"),
            _ => "multicluster-source-management-".to_owned(),
        };
        Ok((!bindings.contains(&prefix)).then_some(()))
    })
    .await
}

pub fn tests() -> Vec<Test> {
    vec![
        test("another_cluster_behind_a_target_takes_over_its_pods", async |world| {
            let ns = "other-cluster";
            let node = two_clusters(&world, ns).await?;
            world.apply(&target(ns, json!({"name": "t", "context": "eu"}))).await?;
            moved(&world, ns, "eu", 4).await?;
            let pods = world.running(ns, 4).await?;
            ensure!(pods.iter().all(|pod| node_of(pod) == node));
            // And back, by the Secret.
            let eu = grant(world.target("us"), Scope::Namespace(ns)).await?;
            world.apply(&secret(ns, &merged(&[("eu", eu)])?)).await?;
            moved(&world, ns, "us", 4).await
        }),
        test("another_cluster_waits_until_the_old_one_can_be_left", async |world| {
            let ns = "cannot-leave";
            two_clusters(&world, ns).await?;
            let before = uids(&world.delegates("us", ns).await?);
            revoke(world.target("us"), "source", ns).await?;
            world.apply(&target(ns, json!({"name": "t", "context": "eu"}))).await?;
            let message = reason(&world, ns, "ClusterChanged").await?;
            ensure!(message.contains("undo the change"), "{message}");
            world.event(ns, "another cluster").await?;
            ensure!(uids(&world.delegates("us", ns).await?) == before, "delegates went");
            ensure!(world.delegates("eu", ns).await?.is_empty(), "a pod has two delegates");
            // Undone, nothing has happened.
            grant(world.target("us"), Scope::Namespace(ns)).await?;
            world.apply(&target(ns, json!({"name": "t", "context": "us"}))).await?;
            reason(&world, ns, "TargetReady").await?;
            ensure!(uids(&world.delegates("us", ns).await?) == before, "delegates went");
            world.apply(&target(ns, json!({"name": "t", "context": "eu"}))).await?;
            moved(&world, ns, "eu", 4).await
        }),
        test("rotated_credentials_touch_no_pod", async |world| {
            let ns = namespace(&world, "rotated").await?;
            let us = world.target("us");
            let whole = grant(us, Scope::Namespace(ns)).await?;
            let kubeconfig = async |name: &str| {
                us.kubectl(&["create", "secret", "generic", "-n", ns, name]).await?;
                let token = us
                    .kubectl(&[
                        "create",
                        "token",
                        "-n",
                        ns,
                        "management",
                        "--bound-object-kind=Secret",
                        "--bound-object-name",
                        name,
                    ])
                    .await?;
                let mut kubeconfig: Value = serde_saphyr::from_str(&whole)?;
                kubeconfig["users"][0]["user"]["token"] = json!(token.trim());
                anyhow::Ok(kubeconfig.to_string())
            };
            world.apply(&secret(ns, &kubeconfig("old").await?)).await?;
            world.apply(&target(ns, json!({"name": "t"}))).await?;
            let node = TargetRef::namespaced(ns, "t").virtual_node().to_string();
            world.product.wait_node_ready(&node).await?;
            let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
            world.apply(&template.deployment(ns, "web", 3)).await?;
            let before = uids(&world.running(ns, 3).await?);
            let (_, _, since) = ready(&world, ns).await?;

            world.apply(&secret(ns, &kubeconfig("new").await?)).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            us.kubectl(&["delete", "secret", "-n", ns, "old"]).await?;
            tokio::time::sleep(REMEMBERED).await;
            ensure!(uids(&world.running(ns, 3).await?) == before, "pods were replaced");
            let (reason, _, still) = ready(&world, ns).await?;
            ensure!(
                (reason.as_str(), &still) == ("TargetReady", &since),
                "{reason} since {still}"
            );
            world.apply(&template.deployment(ns, "web", 5)).await?;
            let after = uids(&world.running(ns, 5).await?);
            ensure!(before.iter().all(|uid| after.contains(uid)), "pods were replaced");
            world.check_delegates(ns).await
        }),
        test("a_source_that_is_revoked_and_restored_loses_no_pod", async |world| {
            let ns = namespace(&world, "revoked").await?;
            let node = world.product.connect("us", Scope::Namespace(ns)).await?;
            let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
            world.apply(&template.deployment(ns, "web", 3)).await?;
            let before = uids(&world.running(ns, 3).await?);
            let delegates = uids(&world.delegates("us", ns).await?);
            revoke(world.target("us"), "source", ns).await?;
            // Less than pods tolerate.
            tokio::time::sleep(Duration::from_secs(15)).await;
            ensure!(uids(&world.delegates("us", ns).await?) == delegates, "delegates went");
            grant(world.target("us"), Scope::Namespace(ns)).await?;
            world.product.wait_node_ready(&node).await?;
            ensure!(uids(&world.running(ns, 3).await?) == before, "pods were replaced");
            world.apply(&template.deployment(ns, "web", 4)).await?;
            let after = uids(&world.running(ns, 4).await?);
            ensure!(before.iter().all(|uid| after.contains(uid)), "pods were replaced");
            world.check_delegates(ns).await
        }),
        test(
            "a_kubeconfig_that_is_deleted_and_comes_back_loses_no_pod",
            async |world| {
                let ns = namespace(&world, "secret-gone").await?;
                let kubeconfig = grant(world.target("us"), Scope::Namespace(ns)).await?;
                world.apply(&secret(ns, &kubeconfig)).await?;
                world.apply(&target(ns, json!({"name": "t"}))).await?;
                let node = TargetRef::namespaced(ns, "t").virtual_node().to_string();
                world.product.wait_node_ready(&node).await?;
                let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
                world.apply(&template.stateful_set(ns, "db", 3)).await?;
                let before = world.running(ns, 3).await?;
                world.source().kubectl(&["delete", "secret", "-n", ns, "t"]).await?;
                reason(&world, ns, "SecretNotFound").await?;
                // Its delegate may still run: it has to wait.
                world
                    .source()
                    .kubectl(&["delete", "pod", "-n", ns, "db-2", "--wait=false"])
                    .await?;
                tokio::time::sleep(Duration::from_secs(3)).await;
                let waiting = world.pods(ns).await?;
                ensure!(uids(&waiting) == uids(&before), "{}", describe(&waiting));
                world.apply(&secret(ns, &kubeconfig)).await?;
                reason(&world, ns, "TargetReady").await?;
                eventually("db-2 to be replaced", SOON, async || {
                    let after = world.running(ns, 3).await?;
                    let kept = after.iter().filter(|pod| uids(&before).contains(&pod.uid())).count();
                    ensure!(kept == 2, "{kept} are left of the old ones");
                    Ok(Some(()))
                })
                .await?;
                world.check_delegates(ns).await
            },
        ),
        alone(
            "a_target_that_becomes_a_cluster_target_gives_its_pods_over",
            async |world| {
                let ns = namespace(&world, "turned").await?;
                let namespaced = world.product.connect("us", Scope::Namespace(ns)).await?;
                // Either of the two.
                let constraints = json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        { "matchExpressions": [{ "key": names::TARGET_NAMESPACE, "operator": "In", "values": [ns] }] },
                        { "matchExpressions": [{ "key": names::CLUSTER_TARGET_NAME, "operator": "In", "values": [ns] }] },
                    ],
                }}}});
                let template =
                    Template::elected().annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, &constraints.to_string());
                world.apply(&template.deployment(ns, "web", 2)).await?;
                world.apply(&template.stateful_set(ns, "db", 2)).await?;
                world.running(ns, 4).await?;
                let kubeconfig = grant(world.target("us"), Scope::Cluster).await?;
                world.source().kubectl(&["delete", "target", "-n", ns, "us"]).await?;
                let turned = add_target(world.source(), ns, Scope::Cluster, &kubeconfig).await?;
                eventually("all pods to be on the other virtual node", SOON, async || {
                    let node = turned.virtual_node().to_string();
                    let pods = world.running(ns, 4).await?;
                    ensure!(pods.iter().all(|pod| node_of(pod) == node), "{}", describe(&pods));
                    Ok(Some(()))
                })
                .await?;
                moved(&world, ns, "us", 4).await?;
                world.check_delegates(ns).await?;
                let nodes = Api::<Node>::all(world.source().client());
                ensure!(nodes.get_opt(&namespaced).await?.is_none(), "{namespaced} is left");
                world
                    .source()
                    .kubectl(&["delete", "namespace", ns, "--timeout=60s"])
                    .await?;
                world.source().kubectl(&["delete", "clustertarget", ns]).await.map(drop)
            },
        ),
        alone(
            "a_cluster_source_that_is_revoked_and_restored_loses_no_pod",
            async |world| {
                let ns = namespace(&world, "revoked-cluster").await?;
                let template = Template::elected().on_virtual_nodes(names::CLUSTER_TARGET_NAME, "us");
                world.apply(&template.deployment(ns, "web", 3)).await?;
                let before = uids(&world.running(ns, 3).await?);
                revoke(world.target("us"), "clustersource", ns).await?;
                tokio::time::sleep(Duration::from_secs(10)).await;
                grant(world.target("us"), Scope::Cluster).await?;
                world.product.wait_node_ready("admiralty-us").await?;
                world.apply(&template.deployment(ns, "web", 4)).await?;
                let after = uids(&world.running(ns, 4).await?);
                ensure!(before.iter().all(|uid| after.contains(uid)), "pods were replaced");
                world.check_delegates(ns).await
            },
        ),
    ]
}
