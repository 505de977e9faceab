//! What goes when something is deleted.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use multicluster_api::names;
use testbed::eventually;

use super::fixtures::{Template, namespace};
use super::harness::{Test, test};
use super::world::{SOON, World};

/// A Deployment of one pod in us; returns the pod.
async fn one_pod(world: &World, ns: &str) -> Result<Pod> {
    let template = Template::elected().on_virtual_nodes("topology.kubernetes.io/region", "us");
    world.apply(&template.deployment(ns, "web", 1)).await?;
    Ok(world.running(ns, 1).await?.remove(0))
}

/// Wait until another pod has taken the place of this one, with one delegate.
async fn replaced(world: &World, ns: &str, old: &Pod) -> Result<()> {
    eventually("the pod to be replaced", SOON, async || {
        let pods = world.running(ns, 1).await?;
        Ok((pods[0].uid() != old.uid()).then_some(()))
    })
    .await?;
    eventually("one delegate", SOON, async || world.check_delegates(ns).await.map(Some)).await
}

pub fn tests() -> Vec<Test> {
    vec![
        test("deleting_a_delegate_replaces_the_pod", async |world| {
            let ns = namespace(&world, "delete-delegate").await?;
            let pod = one_pod(&world, ns).await?;
            let delegate = world.delegates("us", ns).await?.remove(0).name_any();
            world
                .target("us")
                .kubectl(&["delete", "pod", "-n", ns, &delegate])
                .await?;
            replaced(&world, ns, &pod).await
        }),
        test("deleting_a_chaperon_replaces_the_pod", async |world| {
            let ns = namespace(&world, "delete-chaperon").await?;
            let pod = one_pod(&world, ns).await?;
            let chaperon = world.chaperons("us", ns).await?.remove(0).name_any();
            world
                .target("us")
                .kubectl(&["delete", "podchaperon", "-n", ns, &chaperon])
                .await?;
            replaced(&world, ns, &pod).await
        }),
        test("deleting_a_proxy_pod_takes_the_delegate_along", async |world| {
            let ns = namespace(&world, "delete-proxy").await?;
            world.apply(&Template::elected().pod(ns, "bare")).await?;
            world.running(ns, 1).await?;
            // Returns when the pod is gone, and it goes after its delegate.
            world
                .source()
                .kubectl(&["delete", "pod", "-n", ns, "bare", "--timeout=60s"])
                .await?;
            for target in ["us", "eu"] {
                ensure!(
                    world.delegates(target, ns).await?.is_empty(),
                    "a delegate is left in {target}"
                );
            }
            world.nothing_left(ns).await
        }),
        test("deleting_a_pending_pod_needs_no_delegate", async |world| {
            let ns = namespace(&world, "delete-pending").await?;
            world
                .apply(&Template::elected().request("cpu", "39").pod(ns, "huge"))
                .await?;
            world.event(ns, "cpu").await?;
            world
                .source()
                .kubectl(&["delete", "pod", "-n", ns, "huge", "--timeout=60s"])
                .await?;
            world.nothing_left(ns).await
        }),
        test("deleting_a_namespace_leaves_nothing", async |world| {
            let ns = namespace(&world, "delete-namespace").await?;
            world.apply(&Template::elected().deployment(ns, "web", 6)).await?;
            world.running(ns, 6).await?;
            world
                .source()
                .kubectl(&["delete", "namespace", ns, "--timeout=60s"])
                .await?;
            world.nothing_left(ns).await
        }),
        test(
            "a_drained_virtual_node_gives_its_pods_away_and_gets_new_ones_later",
            async |world| {
                // A target of its own, so that other tests keep theirs.
                let ns = namespace(&world, "drained").await?;
                let scope = testbed::product::Scope::Namespace(ns);
                let node = world.product.connect("us", scope).await?;
                let other = world.product.connect("eu", scope).await?;
                let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
                world.apply(&template.deployment(ns, "web", 6)).await?;
                world.running(ns, 6).await?;
                // Which one has pods depends on what other tests have in these clusters.
                let has_pods = world.spread(ns).await?.contains_key(&node);
                let (node, other, target) = if has_pods {
                    (node, other, "us")
                } else {
                    (other, node, "eu")
                };
                world
                    .source()
                    .kubectl(&["drain", &node, "--ignore-daemonsets", "--timeout=60s"])
                    .await?;
                world.running(ns, 6).await?;
                let spread = world.spread(ns).await?;
                ensure!(spread == [(other.clone(), 6)].into(), "{spread:?}");
                world.source().kubectl(&["uncordon", &node]).await?;
                let only_there = format!(
                    "nodeSelector: {{{}: {ns}, {}: {target}}}",
                    names::TARGET_NAMESPACE,
                    names::TARGET_NAME
                );
                let back = Template::elected().annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, &only_there);
                world.apply(&back.deployment(ns, "back", 2)).await?;
                world.running(ns, 8).await?;
                let spread = world.spread(ns).await?;
                ensure!(spread == [(node, 2), (other, 6)].into(), "{spread:?}");
                Ok(())
            },
        ),
    ]
}
