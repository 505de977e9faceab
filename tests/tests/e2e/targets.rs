//! Targets that come, change, go, or were never right.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt};
use multicluster_api::{Target, TargetRef, names};
use serde_json::{Value, json};
use testbed::eventually;
use testbed::product::Scope;

use super::fixtures::{Template, namespace};
use super::harness::{Test, test};
use super::world::{SOON, World, describe, is_running, node_of};

fn target(ns: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Target",
        "metadata": {"name": name, "namespace": ns}, "spec": spec,
    })
}

fn secret(ns: &str, name: &str, kubeconfig: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": ns},
        "stringData": {"config": kubeconfig},
    })
}

/// Wait until a Target's Ready condition has this reason; returns its message.
async fn reason(world: &World, ns: &str, name: &str, wanted: &str) -> Result<String> {
    let targets = Api::<Target>::namespaced(world.source().client(), ns);
    eventually(&format!("Target {name} to be {wanted}"), SOON, async || {
        let status = targets.get(name).await?.status.unwrap_or_default();
        let ready = status
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == "Ready");
        ensure!(ready.as_ref().is_some_and(|ready| ready.reason == wanted), "{ready:?}");
        Ok(ready.map(|ready| ready.message))
    })
    .await
}

fn kubeconfig(server: &str, token: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
    })
    .to_string()
}

pub fn tests() -> Vec<Test> {
    vec![
        test("a_target_added_while_pods_are_pending_starts_them", async |world| {
            let ns = namespace(&world, "late-target").await?;
            let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
            world.apply(&template.deployment(ns, "web", 4)).await?;
            world.event(ns, "nodes are available").await?;
            let node = world.product.connect("eu", Scope::Namespace(ns)).await?;
            let pods = world.running(ns, 4).await?;
            ensure!(pods.iter().all(|pod| node_of(pod) == node));
            Ok(())
        }),
        test("bad_targets_harm_themselves_alone_and_heal", async |world| {
            let ns = namespace(&world, "bad-targets").await?;
            for (name, kubeconfig) in [
                ("rubbish", "{token: very-secret".to_owned()),
                ("unreachable", kubeconfig("https://127.0.0.1:1", "very-secret")),
                ("runs-programs", "{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: very-secret}}}]}".to_owned()),
            ] {
                world.apply(&secret(ns, name, &kubeconfig)).await?;
                world.apply(&target(ns, name, json!({"kubeconfigSecret": {"name": name}}))).await?;
            }
            world
                .apply(&target(ns, "missing", json!({"kubeconfigSecret": {"name": "missing"}})))
                .await?;
            let good = world.product.connect("us", Scope::Namespace(ns)).await?;

            ensure!(
                reason(&world, ns, "missing", "SecretNotFound")
                    .await?
                    .contains("create it")
            );
            ensure!(
                reason(&world, ns, "rubbish", "InvalidKubeconfig")
                    .await?
                    .contains("not a kubeconfig")
            );
            ensure!(
                reason(&world, ns, "runs-programs", "InvalidKubeconfig")
                    .await?
                    .contains("exec")
            );
            reason(&world, ns, "unreachable", "APIServerUnreachable").await?;
            world.event(ns, "not a kubeconfig").await?;

            let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
            world.apply(&template.deployment(ns, "web", 4)).await?;
            let pods = world.running(ns, 4).await?;
            ensure!(pods.iter().all(|pod| node_of(pod) == good));

            // Mended, it serves, and nobody restarts anything.
            let mended = testbed::product::grant(world.target("eu"), Scope::Namespace(ns)).await?;
            world.apply(&secret(ns, "rubbish", &mended)).await?;
            reason(&world, ns, "rubbish", "TargetReady").await?;
            let node = TargetRef::namespaced(ns, "rubbish").virtual_node().to_string();
            world.product.wait_node_ready(&node).await?;
            for program in ["multicluster-agent", "multicluster-extender"] {
                let log = std::fs::read_to_string(world.source().log_dir().join(format!("{program}.log")))?;
                ensure!(!log.contains("very-secret"), "{program} has logged a secret");
            }
            let status = world
                .source()
                .kubectl(&["get", "targets,events,nodes", "-n", ns, "-o", "yaml"])
                .await?;
            ensure!(!status.contains("very-secret"), "a secret is shown");
            Ok(())
        }),
        test("a_target_that_contradicts_itself_is_refused", async |world| {
            let ns = namespace(&world, "contradiction").await?;
            for spec in [json!({"self": true, "kubeconfigSecret": {"name": "x"}}), json!({})] {
                let refused = world.apply(&target(ns, "both", spec)).await.unwrap_err().to_string();
                ensure!(refused.contains("self"), "{refused}");
            }
            let regexp = json!({"self": true, "excludedLabelsRegexp": "("});
            let refused = world
                .apply(&target(ns, "regexp", regexp))
                .await
                .unwrap_err()
                .to_string();
            ensure!(refused.contains("excludedLabelsRegexp"), "{refused}");
            Ok(())
        }),
        test("excluded_labels_stay_off_the_virtual_node", async |world| {
            let ns = namespace(&world, "excluded").await?;
            let node = world.product.connect("us", Scope::Namespace(ns)).await?;
            let nodes = Api::<Node>::all(world.source().client());
            let region = "topology.kubernetes.io/region";
            ensure!(nodes.get(&node).await?.labels().contains_key(region));
            let spec = json!({"kubeconfigSecret": {"name": "us"}, "excludedLabelsRegexp": "^topology[.]"});
            world.apply(&target(ns, "us", spec)).await?;
            eventually("the label to go", SOON, async || {
                Ok((!nodes.get(&node).await?.labels().contains_key(region)).then_some(()))
            })
            .await
        }),
        test("deleting_a_target_strands_no_pod", async |world| {
            let ns = namespace(&world, "target-goes").await?;
            let node = world.product.connect("us", Scope::Namespace(ns)).await?;
            let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
            world.apply(&template.deployment(ns, "web", 3)).await?;
            world.running(ns, 3).await?;
            world.source().kubectl(&["delete", "target", "-n", ns, "us"]).await?;
            let nodes = Api::<Node>::all(world.source().client());
            eventually("the virtual node to go", SOON, async || {
                Ok(nodes.get_opt(&node).await?.is_none().then_some(()))
            })
            .await?;
            // Their controller makes new ones, which wait for a target; the old ones are gone, finalizers and all.
            eventually("the pods to be replaced", SOON, async || {
                let pods: Vec<Pod> = world.pods(ns).await?;
                Ok((pods.len() == 3 && pods.iter().all(|pod| node_of(pod).is_empty())).then_some(()))
            })
            .await?;
            world.nothing_left(ns).await?;
            // The same name, another cluster.
            let again = testbed::product::grant(world.target("eu"), Scope::Namespace(ns)).await?;
            testbed::product::add_target(world.source(), "us", Scope::Namespace(ns), &again).await?;
            world.running(ns, 3).await?;
            ensure!(world.delegates("eu", ns).await?.len() == 3);
            Ok(())
        }),
        test(
            "two_targets_that_lead_to_one_cluster_leave_each_other_alone",
            async |world| {
                let ns = namespace(&world, "same-cluster").await?;
                let node = world.product.connect("us", Scope::Namespace(ns)).await?;
                let through = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
                let directly = Template::elected().on_virtual_nodes(names::CLUSTER_TARGET_NAME, "us");
                world.apply(&through.deployment(ns, "through", 3)).await?;
                world.apply(&directly.deployment(ns, "directly", 3)).await?;
                let before: Vec<_> = world.running(ns, 6).await?.iter().map(|pod| pod.uid()).collect();
                let spread = world.spread(ns).await?;
                ensure!(
                    spread == [(node, 3), ("admiralty-us".to_owned(), 3)].into(),
                    "{spread:?}"
                );
                world.source().kubectl(&["delete", "target", "-n", ns, "us"]).await?;
                eventually("three pods to lose their target", SOON, async || {
                    Ok((world.delegates("us", ns).await?.len() == 3).then_some(()))
                })
                .await?;
                // The three that lost theirs are replaced; the others are untouched.
                eventually("three of the old pods to be left", SOON, async || {
                    let pods = world.pods(ns).await?;
                    let bound: Vec<_> = pods.iter().filter(|pod| !node_of(pod).is_empty()).collect();
                    let untouched = bound
                        .iter()
                        .filter(|pod| before.contains(&pod.uid()) && is_running(pod))
                        .count();
                    ensure!(
                        pods.len() == 6 && bound.len() == 3 && untouched == 3,
                        "{}",
                        describe(&pods)
                    );
                    Ok(Some(()))
                })
                .await?;
                Ok(())
            },
        ),
        test("a_namespace_reaches_only_its_own_targets", async |world| {
            let (mine, theirs) = (namespace(&world, "mine").await?, namespace(&world, "theirs").await?);
            world.product.connect("us", Scope::Namespace(theirs)).await?;
            let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, theirs);
            world.apply(&template.pod(mine, "intruder")).await?;
            world.event(mine, "namespace").await?;
            ensure!(node_of(&world.pods(mine).await?[0]).is_empty());
            world.nothing_left(mine).await
        }),
    ]
}
