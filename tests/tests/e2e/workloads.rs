//! Kinds of workloads.

use anyhow::ensure;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, ResourceExt};
use serde_json::json;
use testbed::eventually;
use testbed::product::Scope;

use super::fixtures::{Template, namespace};
use super::harness::{Test, test};
use super::world::{SOON, World, describe, phase};

async fn completes(world: &World, ns: &str, name: &str, completions: i32) -> anyhow::Result<()> {
    let jobs = Api::<Job>::namespaced(world.source().client(), ns);
    eventually(&format!("Job {name} to complete"), SOON, async || {
        let status = jobs.get(name).await?.status.unwrap_or_default();
        ensure!(
            status.succeeded == Some(completions),
            "{status:?}; {}",
            describe(&world.pods(ns).await?)
        );
        Ok(status.completion_time)
    })
    .await?;
    let pods = world.pods(ns).await?;
    ensure!(
        pods.len() == completions as usize && pods.iter().all(|pod| phase(pod) == "Succeeded"),
        "{}",
        describe(&pods)
    );
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![
        test("a_job_completes", async |world| {
            let ns = namespace(&world, "job").await?;
            world.apply(&Template::elected().job(ns, "sum", 6)).await?;
            completes(&world, ns, "sum", 6).await?;
            world.check_delegates(ns).await?;
            // Its pods can be cleaned up like any others.
            world.source().kubectl(&["delete", "job", "-n", ns, "sum"]).await?;
            world.nothing_left(ns).await
        }),
        test("a_job_over_this_cluster_and_another_one_completes", async |world| {
            let ns = namespace(&world, "self-and-remote").await?;
            let own = json!({
                "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Target",
                "metadata": {"name": "here", "namespace": ns}, "spec": {"self": true},
            });
            world.apply(&own).await?;
            let node = world.product.connect("us", Scope::Namespace(ns)).await?;
            let here = multicluster_api::TargetRef::namespaced(ns, "here")
                .virtual_node()
                .to_string();
            world.product.wait_node_ready(&here).await?;
            // Only this namespace's own targets, and half of the pods on each.
            let spread = format!(
                "{{nodeSelector: {{multicluster.admiralty.io/target-namespace: {ns}}}, topologySpreadConstraints: [{{maxSkew: 1, \
                 topologyKey: multicluster.admiralty.io/target-name, whenUnsatisfiable: DoNotSchedule, \
                 labelSelector: {{matchLabels: {{app: both}}}}}}]}}"
            );
            let template =
                Template::elected().annotation(multicluster_api::names::PROXY_POD_SCHEDULING_CONSTRAINTS, &spread);
            world.apply(&template.job(ns, "both", 4)).await?;
            let jobs = Api::<Job>::namespaced(world.source().client(), ns);
            eventually("the Job to complete", SOON, async || {
                ensure!(true, "{}", describe(&world.pods(ns).await?));
                Ok(jobs.get("both").await?.status.and_then(|status| status.completion_time))
            })
            .await?;
            // In this namespace are both the proxy pods and those of their delegates that run here.
            let pods: Vec<_> = world
                .pods(ns)
                .await?
                .into_iter()
                .filter(|pod| pod.name_any().starts_with("both-") && !pod.finalizers().is_empty())
                .collect();
            let count = |node: &str| pods.iter().filter(|pod| super::world::node_of(pod) == node).count();
            ensure!((count(&here), count(&node)) == (2, 2), "{}", describe(&pods));
            world.source().kubectl(&["delete", "job", "-n", ns, "both"]).await?;
            eventually("no pod to be left here", SOON, async || {
                Ok(world.pods(ns).await?.is_empty().then_some(()))
            })
            .await
        }),
        test("a_stateful_set_runs_in_order_and_keeps_its_names", async |world| {
            let ns = namespace(&world, "stateful").await?;
            world.apply(&Template::elected().stateful_set(ns, "db", 3)).await?;
            let pods = world.running(ns, 3).await?;
            let mut names: Vec<_> = pods.iter().map(|pod| pod.name_any()).collect();
            names.sort();
            ensure!(names == ["db-0", "db-1", "db-2"], "{names:?}");
            world.check_delegates(ns).await?;
            // An identity that is deleted comes back under its name, with another delegate.
            let before = pods.iter().find(|pod| pod.name_any() == "db-1").unwrap().uid().unwrap();
            world.source().kubectl(&["delete", "pod", "-n", ns, "db-1"]).await?;
            let after = world.running(ns, 3).await?;
            ensure!(after.iter().all(|pod| pod.uid().unwrap() != before));
            world.check_delegates(ns).await
        }),
        test("the_status_of_a_proxy_pod_is_that_of_its_delegate", async |world| {
            let ns = namespace(&world, "status").await?;
            world
                .apply(
                    &Template::elected()
                        .on_virtual_nodes("topology.kubernetes.io/region", "us")
                        .pod(ns, "one"),
                )
                .await?;
            let pod = world.running(ns, 1).await?.remove(0);
            let delegate = world.delegates("us", ns).await?.remove(0);
            let (shown, real) = (pod.status.unwrap(), delegate.status.unwrap());
            ensure!(shown.pod_ip.is_some() && shown.pod_ip == real.pod_ip && shown.host_ip == real.host_ip);
            ensure!(shown.container_statuses == real.container_statuses && shown.start_time == real.start_time);
            Ok(())
        }),
    ]
}
