//! Where pods go.

use std::sync::Arc;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use multicluster_api::names;
use serde_json::json;
use testbed::eventually;

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone, test};
use super::world::{SLOT, SOON, World, node_of};

const REGION: &str = "topology.kubernetes.io/region";

async fn all_on(world: &World, ns: &str, node: &str) -> Result<()> {
    let spread = world.spread(ns).await?;
    ensure!(
        spread.len() == 1 && spread.contains_key(node),
        "wanted all on {node}: {spread:?}"
    );
    world.check_delegates(ns).await
}

pub fn tests() -> Vec<Test> {
    vec![
        test("a_global_deployment_spreads", async |world| {
            let ns = namespace(&world, "spreads").await?;
            world.apply(&Template::elected().deployment(ns, "web", 50)).await?;
            world.running(ns, 50).await?;
            let spread = world.spread(ns).await?;
            // By the share of room that is free: pods of other tests shift it a little.
            ensure!(
                spread.len() == 2 && spread.values().all(|count| *count >= 10),
                "{spread:?}"
            );
            world.check_delegates(ns).await?;
            world
                .source()
                .kubectl(&["scale", "deployment", "-n", ns, "web", "--replicas=5"])
                .await?;
            world.running(ns, 5).await?;
            eventually("45 delegates to go", SOON, async || {
                world.check_delegates(ns).await.map(Some)
            })
            .await
        }),
        test("ordinary_pods_spread_over_hostnames_as_before", async |world| {
            let ns = namespace(&world, "hostnames").await?;
            let spread = json!([{
                "topologyKey": names::HOSTNAME, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "web"}},
            }]);
            let template = Template::ordinary().spec("topologySpreadConstraints", spread);
            // More than the source has nodes.
            world.apply(&template.deployment(ns, "web", 4)).await?;
            world.running(ns, 4).await.map(drop)
        }),
        alone(
            "replicas_of_one_deployment_spread_over_unequally_full_targets",
            async |world| {
                let ns = namespace(&world, "replicas").await?;
                let fill = Template::elected().on_virtual_nodes(REGION, "eu");
                world.apply(&fill.deployment(ns, "fill", 12)).await?;
                world.running(ns, 12).await?;
                // One after the other, so that no choice is a race. There is more room in us, all the time.
                world.apply(&Template::elected().deployment(ns, "web", 1)).await?;
                for replicas in 2..=4 {
                    world.running(ns, 11 + replicas).await?;
                    let count = format!("--replicas={replicas}");
                    let scale = ["scale", "deployment", "-n", ns, "web", &count];
                    world.source().kubectl(&scale).await?;
                }
                let pods = world.running(ns, 16).await?;
                let web = pods.iter().filter(|pod| pod.labels()["app"] == "web");
                let in_eu = web.filter(|pod| node_of(pod) == "admiralty-eu").count();
                ensure!(in_eu > 0, "all 4 are in us");
                world.check_delegates(ns).await
            },
        ),
        test("a_node_selector_of_the_spec_is_for_the_targets_nodes", async |world| {
            let ns = namespace(&world, "selector").await?;
            let template = Template::elected().spec("nodeSelector", json!({REGION: "eu"}));
            world.apply(&template.deployment(ns, "web", 4)).await?;
            world.running(ns, 4).await?;
            all_on(&world, ns, "admiralty-eu").await
        }),
        test("constraints_from_the_spec_choose_the_virtual_node", async |world| {
            let ns = namespace(&world, "from-spec").await?;
            let template = Template::elected()
                .annotation(names::USE_CONSTRAINTS_FROM_SPEC, "")
                .spec("nodeSelector", json!({REGION: "us"}));
            world.apply(&template.deployment(ns, "web", 4)).await?;
            world.running(ns, 4).await?;
            all_on(&world, ns, "admiralty-us").await?;
            for delegate in world.delegates("us", ns).await? {
                let selector = delegate
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.node_selector.clone())
                    .unwrap_or_default();
                ensure!(selector.is_empty(), "the delegate has none: {selector:?}");
            }
            Ok(())
        }),
        test("given_constraints_choose_the_virtual_node", async |world| {
            let ns = namespace(&world, "given").await?;
            // `size` is no label of all nodes of eu, so no virtual node has it: it must stay with the delegate.
            let template = Template::elected()
                .on_virtual_nodes(REGION, "eu")
                .spec("nodeSelector", json!({"size": "big"}));
            world.apply(&template.deployment(ns, "web", 3)).await?;
            world.running(ns, 3).await?;
            all_on(&world, ns, "admiralty-eu").await?;
            for delegate in world.delegates("eu", ns).await? {
                ensure!(node_of(&delegate) == "big-0", "on {}", node_of(&delegate));
            }
            Ok(())
        }),
        test("a_pod_without_reservation_tries_target_after_target", async |world| {
            let ns = namespace(&world, "no-reservation").await?;
            // Only the node `big` of eu takes it, but nobody asks before the target's scheduler has.
            let template = Template::elected()
                .annotation(names::NO_RESERVATION, "")
                .spec("nodeSelector", json!({"size": "big"}));
            world.apply(&template.deployment(ns, "web", 3)).await?;
            world.running(ns, 3).await?;
            all_on(&world, ns, "admiralty-eu").await?;
            ensure!(world.delegates("us", ns).await?.is_empty() && world.chaperons("us", ns).await?.is_empty());
            Ok(())
        }),
        test(
            "a_pod_without_reservation_that_nobody_takes_stays_pending_and_says_why",
            async |world| {
                let ns = namespace(&world, "nobody").await?;
                let template = Template::elected()
                    .annotation(names::NO_RESERVATION, "")
                    .spec("nodeSelector", json!({"size": "none"}));
                world.apply(&template.pod(ns, "lonely")).await?;
                // Both have been asked, and it starts over.
                world.event(ns, "didn't match Pod's node affinity/selector").await?;
                ensure!(node_of(&world.pods(ns).await?[0]).is_empty());
                Ok(())
            },
        ),
        test(
            "a_pod_that_fits_no_node_of_a_target_goes_elsewhere_at_the_first_try",
            async |world| {
                let ns = namespace(&world, "fits").await?;
                // 5 × 8 CPU of us are more than 16, but no node there has them.
                world
                    .apply(&Template::elected().request("cpu", "16").pod(ns, "large"))
                    .await?;
                world.running(ns, 1).await?;
                all_on(&world, ns, "admiralty-eu").await?;
                let tries = world
                    .source()
                    .kubectl(&["get", "events", "-n", ns, "-o", "jsonpath={.items[*].reason}"])
                    .await?;
                ensure!(!tries.contains("Failed") && !tries.contains("Unschedulable"), "{tries}");
                Ok(())
            },
        ),
        test("a_pod_that_fits_nowhere_says_why", async |world| {
            let ns = namespace(&world, "nowhere").await?;
            // Less than the sum of us and of eu, more than any node has.
            world
                .apply(&Template::elected().request("cpu", "35").pod(ns, "huge"))
                .await?;
            world.event(ns, "cpu").await?;
            ensure!(node_of(&world.pods(ns).await?[0]).is_empty());
            for target in ["us", "eu"] {
                ensure!(
                    world.chaperons(target, ns).await?.is_empty(),
                    "nothing was tried in {target}"
                );
            }
            Ok(())
        }),
        test("a_pod_that_a_targets_admission_refuses_goes_elsewhere", async |world| {
            let ns = namespace(&world, "quota").await?;
            let quota = json!({
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": ns},
                "spec": {"hard": {"pods": "0"}},
            });
            world.target("us").apply_yaml(&quota.to_string()).await?;
            eventually("the quota to be in force", SOON, async || {
                let arguments = [
                    "get",
                    "resourcequota",
                    "-n",
                    ns,
                    "none",
                    "-o",
                    "jsonpath={.status.hard.pods}",
                ];
                Ok((world.target("us").kubectl(&arguments).await? == "0").then_some(()))
            })
            .await?;
            world.apply(&Template::elected().deployment(ns, "web", 4)).await?;
            world.running(ns, 4).await?;
            all_on(&world, ns, "admiralty-eu").await?;
            eventually("the attempts in us to be taken back", SOON, async || {
                Ok(world.chaperons("us", ns).await?.is_empty().then_some(()))
            })
            .await
        }),
        test(
            "a_pod_whose_namespace_a_target_lacks_goes_elsewhere",
            async |world: Arc<World>| {
                let ns = "only-in-eu";
                let labels = json!({"multicluster-scheduler": "enabled"});
                let object =
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns, "labels": labels}});
                world.apply(&object).await?;
                world.target("eu").apply_yaml(&object.to_string()).await?;
                world.apply(&Template::elected().deployment(ns, "web", 4)).await?;
                world.running(ns, 4).await?;
                all_on(&world, ns, "admiralty-eu").await
            },
        ),
        test(
            "labels_of_the_virtual_node_follow_the_targets_nodes",
            async |world: Arc<World>| {
                let nodes = kube::Api::<k8s_openapi::api::core::v1::Node>::all(world.source().client());
                let node = nodes.get("admiralty-us").await?;
                let labels = node.labels();
                ensure!(
                    labels[REGION] == "us" && labels["type"] == "virtual-kubelet",
                    "{labels:?}"
                );
                ensure!(
                    labels[names::CLUSTER] == "admiralty-us" && !labels.contains_key(names::HOSTNAME),
                    "{labels:?}"
                );
                let status = node.status.unwrap();
                ensure!(
                    status.allocatable.as_ref().unwrap()["cpu"].0 == "40",
                    "{:?}",
                    status.allocatable
                );
                ensure!(status.allocatable.unwrap()[SLOT].0 == "15");
                world
                    .target("us")
                    .kubectl(&["label", "nodes", "--all", "example.com/all=yes"])
                    .await?;
                eventually("the new label", SOON, async || {
                    Ok(nodes
                        .get("admiralty-us")
                        .await?
                        .labels()
                        .contains_key("example.com/all")
                        .then_some(()))
                })
                .await?;
                world
                    .target("us")
                    .kubectl(&["label", "nodes", "--all", "example.com/all-"])
                    .await?;
                eventually("the label to go", SOON, async || {
                    Ok((!nodes
                        .get("admiralty-us")
                        .await?
                        .labels()
                        .contains_key("example.com/all"))
                    .then_some(()))
                })
                .await
            },
        ),
    ]
}
