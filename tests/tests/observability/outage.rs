//! A target that goes and comes back, as metrics, events and probes tell it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testbed::{Network, eventually};

use super::exposed::Exposed;
use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::world::{SOON, World};
use super::{exercised, exposed};

/// Let pods run, cut the target off, delete a pod, look, and mend it: then a left-over is removed.
pub async fn seen(world: &Arc<World>) -> Result<Exposed> {
    let ns = namespace(world, "outage").await?;
    world.apply(&Template::elected().deployment(ns, "web", 3)).await?;
    let pods = world.running(ns, 3).await?;
    let node = super::world::node_of(&pods[0]);
    world.link("eu").set(Network::Dropping);
    let away = eventually("the outage to be noticed", SOON, async || {
        let exposed = exposed(world).await?;
        let ready = exposed.sum("multicluster_agent_virtual_node_ready", &[("node", &node)]);
        Ok((ready == 0.0).then_some(exposed))
    })
    .await?;
    check_away(&away, &node)?;
    let api = Api::<Pod>::namespaced(world.source().client(), ns);
    let name = pods[0].name_any();
    api.delete(&name, &DeleteParams::default()).await?;
    let held = eventually("the deleted pod to be held", SOON, async || {
        let exposed = exposed(world).await?;
        Ok((exposed.sum("multicluster_agent_pods_held", &[("node", &node)]) >= 1.0).then_some(exposed))
    })
    .await?;
    world.event(ns, "it may still run in eu, which is away").await?;
    // Somebody who knows better takes the finalizer off: its delegate is a left-over then.
    let released = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    api.patch(&name, &PatchParams::default(), &released).await?;
    world.link("eu").set(Network::Up);
    eventually("the left-over to be removed", SOON, async || {
        let exposed = exposed(world).await?;
        let removed = exposed.sum(
            "multicluster_agent_orphaned_chaperons_deleted_total",
            &[("node", &node)],
        );
        let held = exposed.sum("multicluster_agent_pods_held", &[]);
        ensure!((removed, held) == (1.0, 0.0), "{removed} removed, {held} held");
        Ok(Some(()))
    })
    .await?;
    Ok(held)
}

fn check_away(exposed: &Exposed, node: &str) -> Result<()> {
    let of = |name: &str| exposed.sum(name, &[("node", node)]);
    let detected = exposed.sum("multicluster_agent_target_detection_seconds", &[]);
    ensure!(detected == 1.0, "noticed {detected} times");
    let age = of("multicluster_agent_target_heartbeat_age_seconds");
    ensure!((5.0..60.0).contains(&age), "last heard of {age} s ago");
    let why = exposed.sum(
        "multicluster_agent_virtual_node_condition",
        &[("node", node), ("reason", "APIServerTimeout")],
    );
    ensure!(why == 1.0, "no reason");
    Ok(())
}

/// Events about an object of the source, by kind and reason.
async fn has_event(world: &World, kind: &str, reason: &str) -> Result<Event> {
    let events = Api::<Event>::all(world.source().client());
    eventually(&format!("event {reason} of a {kind}"), SOON, async || {
        let all = events.list(&ListParams::default()).await?.items;
        let found = |event: &&Event| {
            event.involved_object.kind.as_deref() == Some(kind) && event.reason.as_deref() == Some(reason)
        };
        Ok(all.iter().find(found).cloned())
    })
    .await
}

pub fn tests() -> Vec<Test> {
    vec![
        alone("an_outage_is_told_of_target_and_node", async |world| {
            exercised(&world).await?;
            for kind in ["ClusterTarget", "Node"] {
                has_event(&world, kind, "APIServerTimeout").await?;
                has_event(&world, kind, "TargetReady").await?;
            }
            let left_over = has_event(&world, "ClusterTarget", "LeftOversDeleted").await?;
            ensure!(
                left_over
                    .message
                    .is_some_and(|text| text.starts_with("1 delegate pods"))
            );
            let node = has_event(&world, "Node", "TargetReady").await?.involved_object.name;
            let described = world
                .source()
                .kubectl(&["describe", "node", &node.unwrap_or_default()])
                .await?;
            ensure!(described.contains("APIServerTimeout"), "{described}");
            Ok(())
        }),
        alone("removed_targets_leave_no_series", async |world| {
            exercised(&world).await?;
            let product = &world.product;
            let kubeconfig =
                testbed::product::grant(&product.target("eu")?.cluster, testbed::product::Scope::Cluster).await?;
            let other =
                testbed::product::add_target(world.source(), "passing", testbed::product::Scope::Cluster, &kubeconfig)
                    .await?;
            let node: String = other.virtual_node().into();
            product.wait_node_ready(&node).await?;
            let named = async || -> Result<Vec<String>> {
                let mut lines = vec![];
                for (_, text) in product.source.metrics().await? {
                    lines.extend(text.lines().filter(|line| line.contains(&node)).map(str::to_owned));
                }
                Ok(lines)
            };
            ensure!(named().await?.len() > 10, "{:?}", named().await?);
            world.source().kubectl(&["delete", "clustertarget", "passing"]).await?;
            eventually("the series of the removed target to go", SOON, async || {
                let left = named().await?;
                ensure!(left.is_empty(), "{left:?}");
                Ok(Some(()))
            })
            .await
        }),
        alone(
            "an_agent_without_its_api_server_is_alive_and_not_ready",
            async |world| {
                exercised(&world).await?;
                let source = &world.product.source;
                let verbose = source.agent_admin("/readyz?verbose").await?;
                ensure!(
                    verbose.contains("[+]apiserver ok\n[+]leader ok\n[+]shutdown ok\n[+]targets ok"),
                    "{verbose}"
                );
                let api_server = world.source().component(testbed::Component::ApiServer)?;
                api_server.pause()?;
                let lost = eventually("the agent to be unready", Duration::from_secs(90), async || {
                    Ok(source.agent_admin("/readyz").await.err())
                })
                .await;
                let live = source.agent_admin("/livez").await;
                api_server.resume()?;
                let lost = lost?.to_string();
                ensure!(lost.contains("[-]apiserver failed: no answer for"), "{lost}");
                live?;
                eventually("the agent to be ready again", SOON, async || {
                    Ok(source.agent_admin("/readyz").await.ok())
                })
                .await
                .map(drop)
            },
        ),
    ]
}
