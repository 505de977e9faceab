//! What a person sees.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::Value;
use testbed::{Cluster, eventually, usage};

use super::clusters::node_of;
use super::fixtures::{Template, namespace};
use super::harness::test;
use super::world::{MEASURED, Test, World};

pub fn tests() -> Vec<Test> {
    vec![
        test("people_see_what_delegates_use", people_see_what_delegates_use),
        test("a_virtual_node_tells_of_its_own_pods_alone", its_own_pods_alone),
    ]
}

/// Given pods that use 40m and 32Mi in two targets, `kubectl top` in the source says so, of pods and of virtual nodes.
async fn people_see_what_delegates_use(world: std::sync::Arc<World>) -> Result<()> {
    let namespace = namespace(&world, "top").await?;
    let template = Template::elected()
        .evenly_over_targets("web")
        .annotation(usage::CPU, "40m")
        .annotation(usage::MEMORY, "32Mi");
    world.apply(&template.deployment(namespace, "web", 4)).await?;
    let pods = world.running(namespace, 4).await?;
    let top = eventually("kubectl top to list all pods", MEASURED, async || {
        let top = top(world.source(), &["pods", "--namespace", namespace]).await?;
        ensure!(top.len() == 4, "{top:?}");
        Ok(Some(top))
    })
    .await?;
    for pod in &pods {
        let (cpu, memory) = top.get(&pod.name_any()).context("a pod is missing")?;
        ensure!((38..=42).contains(cpu), "{} uses {cpu}m", pod.name_any());
        ensure!(*memory == 32, "{} uses {memory}Mi", pod.name_any());
    }
    // Other tests have pods there, too.
    let nodes = top_nodes(world.source()).await?;
    for node in ["admiralty-eu", "admiralty-us"] {
        let (cpu, memory) = nodes
            .get(node)
            .with_context(|| format!("{node} is not among {nodes:?}"))?;
        ensure!(*cpu >= 38 && *memory >= 32, "{node}: {cpu}m, {memory}Mi");
    }
    Ok(())
}

/// Given a pod of the target's own beside a delegate, the virtual node's summary has the delegate alone, under the name and
/// the UID of its proxy pod.
async fn its_own_pods_alone(world: std::sync::Arc<World>) -> Result<()> {
    let namespace = namespace(&world, "alone").await?;
    let template = Template::elected().annotation(usage::CPU, "30m");
    world.apply(&template.pod(namespace, "mine")).await?;
    let pod = world.running(namespace, 1).await?.remove(0);
    let node = node_of(&pod);
    let target = node.strip_prefix("admiralty-").context("a virtual node")?;
    let own = Template::ordinary().pod(namespace, "theirs");
    world.target(target).apply_yaml(&own.to_string()).await?;
    let path = format!("/nodes/{node}/stats/summary");
    let summary = eventually("the summary to tell of the pod", MEASURED, async || {
        let summary: Value = serde_json::from_str(&world.kubelet(&path).await?)?;
        let pods = summary["pods"].as_array().context("no pods")?;
        let pods = pods.iter().filter(|pod| pod["podRef"]["namespace"] == namespace);
        let pods: Vec<_> = pods.cloned().collect();
        Ok((!pods.is_empty()).then_some(pods))
    })
    .await?;
    ensure!(summary.len() == 1, "{summary:?}");
    let reference = &summary[0]["podRef"];
    ensure!(
        reference["name"] == "mine" && reference["uid"] == pod.uid().unwrap(),
        "{reference}"
    );
    let cores = summary[0]["cpu"]["usageNanoCores"].as_u64().context("no CPU")?;
    ensure!((28_000_000..=32_000_000).contains(&cores), "{cores}");
    Ok(())
}

/// Thousandths of cores, and mebibytes, by name.
pub async fn top(cluster: &Cluster, args: &[&str]) -> Result<BTreeMap<String, (u64, u64)>> {
    let args = [&["top"], args, &["--no-headers"]].concat();
    let text = cluster.kubectl(&args).await?;
    Ok(text.lines().filter_map(row).collect())
}

async fn top_nodes(cluster: &Cluster) -> Result<BTreeMap<String, (u64, u64)>> {
    top(cluster, &["nodes"]).await
}

/// `NAME 40m 32Mi`, or `NAME 40m 1% 32Mi 2%`.
fn row(line: &str) -> Option<(String, (u64, u64))> {
    let mut cells = line.split_whitespace().filter(|cell| !cell.ends_with('%'));
    let name = cells.next()?.to_owned();
    let cpu = cells.next()?.strip_suffix('m')?.parse().ok()?;
    let memory = cells.next()?.strip_suffix("Mi")?.parse().ok()?;
    Some((name, (cpu, memory)))
}
