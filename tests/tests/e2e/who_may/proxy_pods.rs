//! Only what the webhook has admitted reaches a target.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::eventually;

use crate::fixtures::{Template, namespace};
use crate::harness::{Test, test};
use crate::world::{SOON, World, node_of, phase};

/// A namespace that the webhook does not serve; the targets have it, too.
pub async fn plain_namespace(world: &World, name: &str) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string();
    for seat in world.product.seats() {
        seat.cluster.apply_yaml(&object).await?;
    }
    Ok(())
}

/// A proxy pod as the webhook makes them, written by hand.
pub fn forged(ns: &str, name: &str) -> Value {
    let manifest = "apiVersion: v1\nkind: Pod\nspec: {}\n";
    let mut pod = Template::elected()
        .annotation(names::SOURCE_POD_MANIFEST, manifest)
        .label(names::HAS_FINALIZER, "true")
        .spec("schedulerName", json!(names::PROXY_SCHEDULER))
        .spec("nodeSelector", json!({ names::PROVIDER: names::PROVIDER_VALUE }))
        .spec("tolerations", tolerations())
        .spec("terminationGracePeriodSeconds", json!(0))
        .pod(ns, name);
    pod["metadata"]["finalizers"] = json!([names::FINALIZER]);
    pod
}

fn tolerations() -> Value {
    json!([{ "operator": "Exists" }])
}

/// No target has anything of this namespace.
pub async fn nothing_there(world: &World, ns: &str) -> Result<()> {
    for target in world.product.targets.keys() {
        let (chaperons, delegates) = (world.chaperons(target, ns).await?, world.delegates(target, ns).await?);
        ensure!(
            chaperons.is_empty() && delegates.is_empty(),
            "{target} has {chaperons:?} {delegates:?}"
        );
    }
    Ok(())
}

async fn pod(world: &World, ns: &str, name: &str) -> Result<Option<Pod>> {
    let pods = world.pods(ns).await?;
    Ok(pods.into_iter().find(|pod| pod.metadata.name.as_deref() == Some(name)))
}

async fn refused(world: &World, ns: &str, name: &str) -> Result<()> {
    eventually(&format!("{name} to be refused"), SOON, async || {
        let status = pod(world, ns, name)
            .await?
            .and_then(|pod| pod.status)
            .unwrap_or_default();
        ensure!(
            status.phase.as_deref() == Some("Failed") && status.reason.as_deref() == Some("NotElected"),
            "{status:?}"
        );
        let message = status.message.unwrap_or_default();
        ensure!(message.contains(names::ELECT), "{message}");
        Ok(Some(()))
    })
    .await
}

pub fn tests() -> Vec<Test> {
    vec![
        test("ordinary_pods_on_a_virtual_node_are_refused_there", async |world| {
            // With the label or without: no webhook makes proxy pods of these.
            let labelled = namespace(&world, "strays").await?;
            let plain = "strays-plain";
            plain_namespace(&world, plain).await?;
            let selector = json!({ "multicluster.admiralty.io/cluster-target-name": "us" });
            for ns in [labelled, plain] {
                let named = Template::ordinary().spec("nodeName", json!("admiralty-us"));
                world.apply(&named.pod(ns, "named")).await?;
                // By the default scheduler, which asks no extender.
                let selected = Template::ordinary()
                    .spec("nodeSelector", selector.clone())
                    .spec("tolerations", tolerations());
                world.apply(&selected.pod(ns, "selected")).await?;
                for name in ["named", "selected"] {
                    refused(&world, ns, name).await?;
                    ensure!(node_of(&pod(&world, ns, name).await?.unwrap()) == "admiralty-us");
                }
                world.event(ns, "is a virtual node").await?;
                nothing_there(&world, ns).await?;
                // Nobody else says that it has ended.
                let delete = ["delete", "pod", "-n", ns, "--all", "--timeout=60s"];
                world.source().kubectl(&delete).await?;
            }
            Ok(())
        }),
        test(
            "pods_of_a_daemon_set_on_virtual_nodes_are_told_and_let_be",
            async |world| {
                let ns = namespace(&world, "stray-daemons").await?;
                let template = Template::ordinary()
                    .spec(
                        "nodeSelector",
                        json!({ "multicluster.admiralty.io/cluster-target-name": "us" }),
                    )
                    .spec("tolerations", tolerations());
                let mut daemons = template.deployment(ns, "daemon", 1);
                daemons["kind"] = json!("DaemonSet");
                daemons["spec"].as_object_mut().unwrap().remove("replicas");
                world.apply(&daemons).await?;
                world.event(ns, "is a virtual node").await?;
                let pods = world.pods(ns).await?;
                ensure!(pods.len() == 1 && phase(&pods[0]) == "Pending", "{pods:?}");
                world
                    .source()
                    .kubectl(&["delete", "daemonset", "-n", ns, "daemon"])
                    .await?;
                eventually("its pod to go", SOON, async || {
                    Ok(world.pods(ns).await?.is_empty().then_some(()))
                })
                .await
            },
        ),
        test("a_controller_of_strays_does_not_flood_the_cluster", async |world| {
            let ns = namespace(&world, "stray-replicas").await?;
            let template = Template::ordinary()
                .spec(
                    "nodeSelector",
                    json!({ "multicluster.admiralty.io/cluster-target-name": "us" }),
                )
                .spec("tolerations", tolerations());
            world.apply(&template.deployment(ns, "web", 1)).await?;
            eventually("two pods to be refused", SOON, async || {
                let pods = world.pods(ns).await?;
                let failed = pods.iter().filter(|pod| phase(pod) == "Failed").count();
                Ok((failed >= 2).then_some(()))
            })
            .await?;
            tokio::time::sleep(std::time::Duration::from_secs(4)).await;
            let pods = world.pods(ns).await?.len();
            ensure!(pods <= 6, "{pods} pods");
            Ok(())
        }),
        test(
            "a_hand_made_proxy_pod_waits_until_its_namespace_is_served",
            async |world| {
                let ns = "forged";
                plain_namespace(&world, ns).await?;
                world.apply(&forged(ns, "forged")).await?;
                world.event(ns, "does not serve").await?;
                ensure!(node_of(&pod(&world, ns, "forged").await?.unwrap()).is_empty());
                nothing_there(&world, ns).await?;
                // The administrator's decision counts from then on, and kube-scheduler is told.
                world
                    .source()
                    .kubectl(&["label", "namespace", ns, "multicluster-scheduler=enabled"])
                    .await?;
                world.running(ns, 1).await?;
                // And it can be taken back.
                world
                    .source()
                    .kubectl(&["label", "namespace", ns, "multicluster-scheduler-"])
                    .await?;
                eventually("new pods to be refused", SOON, async || {
                    world.apply(&forged(ns, "second")).await?;
                    let events = world
                        .source()
                        .kubectl(&["get", "events", "-n", ns, "-o", "json"])
                        .await?;
                    let events: Value = serde_json::from_str(&events)?;
                    let told = events["items"].as_array().into_iter().flatten().any(|event| {
                        let about = event["involvedObject"]["name"] == "second";
                        about
                            && event["message"]
                                .as_str()
                                .is_some_and(|text| text.contains("does not serve"))
                    });
                    Ok(told.then_some(()))
                })
                .await?;
                ensure!(world.pods(ns).await?.len() == 2);
                world
                    .source()
                    .kubectl(&["delete", "pods", "-n", ns, "--all", "--timeout=60s"])
                    .await?;
                world.nothing_left(ns).await
            },
        ),
        test("a_hand_made_proxy_pod_that_names_its_node_is_removed", async |world| {
            let ns = "forged-node";
            plain_namespace(&world, ns).await?;
            let mut pod = forged(ns, "forged");
            pod["spec"]["nodeName"] = json!("admiralty-us");
            world.apply(&pod).await?;
            eventually("the pod to go", SOON, async || {
                nothing_there(&world, ns).await?;
                Ok(world.pods(ns).await?.is_empty().then_some(()))
            })
            .await
        }),
        test("the_webhook_refuses_marks_that_it_did_not_make", async |world| {
            let ns = namespace(&world, "marks").await?;
            let mut bound = forged(ns, "bound");
            bound["spec"]["nodeName"] = json!("admiralty-us");
            let mut unelected = forged(ns, "unelected");
            unelected["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .remove(names::ELECT);
            for (pod, hint) in [(&bound, "nodeName"), (&unelected, names::HAS_FINALIZER)] {
                let message = world.apply(pod).await.unwrap_err().to_string();
                ensure!(message.contains("denied") && message.contains(hint), "{message}");
            }
            nothing_there(&world, ns).await
        }),
        test("nothing_is_smuggled_in_by_an_update", async |world| {
            let ns = namespace(&world, "smuggled").await?;
            // Neither is bound, so that nothing changes them meanwhile.
            let waiting = Template::elected().on_virtual_nodes("tests/nowhere", "x");
            world.apply(&waiting.pod(ns, "proxy")).await?;
            let ordinary = Template::ordinary().spec("nodeSelector", json!({"tests/nowhere": "x"}));
            world.apply(&ordinary.pod(ns, "ordinary")).await?;
            let manifest = names::SOURCE_POD_MANIFEST;
            let (elect, label) = (names::ELECT, names::HAS_FINALIZER);
            for (verb, pod, change) in [
                ("annotate", "proxy", format!("{manifest}=spec: {{}}")),
                ("annotate", "proxy", format!("{manifest}-")),
                ("annotate", "proxy", format!("{elect}-")),
                ("label", "proxy", format!("{label}-")),
                ("label", "proxy", format!("{label}=false")),
                ("annotate", "ordinary", format!("{elect}=")),
                ("label", "ordinary", format!("{label}=true")),
            ] {
                let args = [verb, "pod", "-n", ns, pod, &change, "--overwrite"];
                let message = match world.source().kubectl(&args).await {
                    Ok(answer) => anyhow::bail!("{verb} {pod} {change}: {answer}"),
                    Err(error) => error.to_string(),
                };
                ensure!(message.contains("denied"), "{verb} {pod} {change}: {message}");
            }
            // Whether the webhook is asked about this one depends on matchConditions (see validating.yaml); the pod gets no
            // marks afterwards in any case.
            let args = [
                "annotate",
                "pod",
                "-n",
                ns,
                "ordinary",
                &format!("{manifest}=spec: {{}}"),
            ];
            let _ = world.source().kubectl(&args).await;
            let args = ["annotate", "pod", "-n", ns, "ordinary", &format!("{elect}=")];
            ensure!(world.source().kubectl(&args).await.is_err());
            nothing_there(&world, ns).await
        }),
    ]
}
