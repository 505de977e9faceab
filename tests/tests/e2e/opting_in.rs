//! Which pods become proxy pods, and how they look.

use std::sync::Arc;

use anyhow::ensure;
use kube::ResourceExt;
use multicluster_api::names;
use serde_json::json;
use testbed::eventually;

use super::fixtures::{Template, namespace};
use super::harness::{Test, test};
use super::world::{SOON, World, node_of};

pub fn tests() -> Vec<Test> {
    vec![
        test("ordinary_pods_in_a_labelled_namespace_are_untouched", async |world| {
            let ns = namespace(&world, "ordinary").await?;
            world.apply(&Template::ordinary().deployment(ns, "web", 2)).await?;
            for pod in world.running(ns, 2).await? {
                ensure!(node_of(&pod).starts_with("own-"), "on {}", node_of(&pod));
                ensure!(pod.finalizers().is_empty() && !pod.labels().contains_key(names::HAS_FINALIZER));
                let scheduler = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
                ensure!(scheduler == Some("default-scheduler"), "{scheduler:?}");
            }
            world.nothing_left(ns).await
        }),
        test(
            "elected_pods_in_a_namespace_without_the_label_are_untouched",
            async |world: Arc<World>| {
                let ns = "unlabelled";
                let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}});
                world.apply(&object).await?;
                world.apply(&Template::elected().deployment(ns, "web", 2)).await?;
                for pod in world.running(ns, 2).await? {
                    ensure!(
                        node_of(&pod).starts_with("own-") && pod.finalizers().is_empty(),
                        "{pod:?}"
                    );
                }
                Ok(())
            },
        ),
        test("a_delegate_looks_like_the_pod_that_was_submitted", async |world| {
            let ns = namespace(&world, "looks").await?;
            let template = Template::elected()
                .annotation("example.com/mine", "kept")
                .label("a.com/tier", "one")
                .label("b.com/tier", "two")
                .label("keep.com/me", "same")
                .annotation(names::NO_PREFIX_LABEL_REGEXP, "^keep[.]com/me=")
                .spec("terminationGracePeriodSeconds", json!(7))
                .spec("nodeSelector", json!({"topology.kubernetes.io/region": "eu"}));
            world.apply(&template.deployment(ns, "web", 1)).await?;
            let pod = world.running(ns, 1).await?.remove(0);
            world.check_delegates(ns).await?;
            let delegate = world.delegates("eu", ns).await?.remove(0);

            let labels = delegate.labels();
            ensure!(
                labels["multicluster.admiralty.io/app"] == "web" && !labels.contains_key("app"),
                "{labels:?}"
            );
            let tiers = labels
                .iter()
                .filter(|(key, _)| key.starts_with("multicluster.admiralty.io/tier"));
            let mut tiers: Vec<_> = tiers.map(|(_, value)| value.as_str()).collect();
            tiers.sort_unstable();
            ensure!(
                tiers == ["one", "two"],
                "keys that collide must both survive: {labels:?}"
            );
            ensure!(labels["keep.com/me"] == "same", "{labels:?}");
            ensure!(labels[names::PARENT_UID] == pod.uid().unwrap() && labels[names::PARENT_CLUSTER_NAME] == "source");

            let annotations = delegate.annotations();
            ensure!(annotations["example.com/mine"] == "kept" && !annotations.contains_key(names::ELECT));
            ensure!(annotations[names::PARENT_NAME] == pod.name_any() && annotations[names::PARENT_NAMESPACE] == ns);
            ensure!(annotations.contains_key(names::IS_DELEGATE));

            let (proxy, spec) = (pod.spec.clone().unwrap(), delegate.spec.unwrap());
            ensure!(spec.termination_grace_period_seconds == Some(7));
            ensure!(proxy.termination_grace_period_seconds == Some(0));
            ensure!(spec.scheduler_name.as_deref() == Some("default-scheduler"));
            ensure!(proxy.scheduler_name.as_deref() == Some(names::PROXY_SCHEDULER));
            ensure!(
                spec.node_selector.unwrap() == [("topology.kubernetes.io/region".to_owned(), "eu".to_owned())].into()
            );
            ensure!(
                proxy.node_selector.clone().unwrap()
                    == [(names::PROVIDER.to_owned(), names::PROVIDER_VALUE.to_owned())].into()
            );
            ensure!(pod.finalizers() == [names::FINALIZER]);
            ensure!(pod.annotations().contains_key(names::SOURCE_POD_MANIFEST));
            // The target's admission has mounted a token of its own; the source's is not there.
            let volumes = |spec: &k8s_openapi::api::core::v1::PodSpec| -> Vec<String> {
                spec.volumes
                    .iter()
                    .flatten()
                    .map(|volume| volume.name.clone())
                    .collect()
            };
            let delegate = world.delegates("eu", ns).await?.remove(0).spec.unwrap();
            ensure!(
                volumes(&delegate).len() == 1 && volumes(&delegate) != volumes(&proxy),
                "{:?}",
                volumes(&delegate)
            );
            Ok(())
        }),
        test("annotations_that_change_on_the_delegate_come_back", async |world| {
            let ns = namespace(&world, "comes-back").await?;
            world
                .apply(
                    &Template::elected()
                        .annotation("example.com/a", "1")
                        .deployment(ns, "web", 1),
                )
                .await?;
            world.running(ns, 1).await?;
            let target = world.product.targets.keys().cloned().collect::<Vec<_>>();
            for target in target {
                for delegate in world.delegates(&target, ns).await? {
                    let args = [
                        "annotate",
                        "pod",
                        "-n",
                        ns,
                        &delegate.name_any(),
                        "example.com/a=2",
                        "example.com/b=3",
                        "--overwrite",
                    ];
                    world.target(&target).kubectl(&args).await?;
                }
            }
            eventually("the annotations to come back", SOON, async || {
                let pod = world.pods(ns).await?.remove(0);
                let annotations = pod.annotations().clone();
                let value = |key: &str| annotations.get(key).cloned().unwrap_or_default();
                Ok((value("example.com/a") == "2" && value("example.com/b") == "3").then_some(()))
            })
            .await
        }),
        test("scheduling_gates_hold_the_proxy_pod_alone", async |world| {
            let ns = namespace(&world, "gates").await?;
            let gated = Template::elected().spec("schedulingGates", json!([{"name": "example.com/queue"}]));
            world.apply(&gated.pod(ns, "gated")).await?;
            let pod = world.pods(ns).await?.remove(0);
            let gates = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.scheduling_gates.clone())
                .unwrap_or_default();
            ensure!(gates.len() == 1, "{gates:?}");
            world.nothing_left(ns).await?;
            let ungate = r#"[{"op": "remove", "path": "/spec/schedulingGates"}]"#;
            world
                .source()
                .kubectl(&["patch", "pod", "-n", ns, "gated", "--type=json", "-p", ungate])
                .await?;
            world.running(ns, 1).await?;
            world.check_delegates(ns).await
        }),
        test("a_default_priority_class_of_the_target_does_no_harm", async |world| {
            let ns = namespace(&world, "priority").await?;
            let class = json!({
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "theirs"},
                "value": 7, "globalDefault": true, "preemptionPolicy": "Never",
            });
            world.target("eu").apply_yaml(&class.to_string()).await?;
            let only_eu = Template::elected().on_virtual_nodes("topology.kubernetes.io/region", "eu");
            world.apply(&only_eu.deployment(ns, "web", 2)).await?;
            world.running(ns, 2).await?;
            for delegate in world.delegates("eu", ns).await? {
                ensure!(delegate.spec.as_ref().and_then(|spec| spec.priority) == Some(7));
            }
            Ok(())
        }),
    ]
}
