//! A target that is like AWS Fargate: a profile picks pods, and a scheduler of its own adds a node for each, after a while. It
//! looks at no selector and at no other node. A stand-in for what cannot run here, with a minute made two seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Binding, Node, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::eventually;
use tokio::task::AbortHandle;

use super::fixtures::{Template, namespace};
use super::harness::{Test, alone};
use super::world::{SOON, World, node_of};

const REGION: &str = "topology.kubernetes.io/region";
const SCHEDULER: &str = "fargate-scheduler";
const COMPUTE_TYPE: &str = "eks.amazonaws.com/compute-type";
/// Until a pod has its node.
const DELAY: Duration = Duration::from_secs(2);

pub fn tests() -> Vec<Test> {
    vec![alone("fargate_adds_a_node_for_each_pod", async |world| {
        let ns = namespace(&world, "fargate").await?;
        for object in profile(ns) {
            world.target("us").apply_yaml(&object.to_string()).await?;
        }
        picks(&world, ns).await?;
        let fargate = Fargate::start(world.target("us").client(), ns);
        let template = Template::elected()
            .annotation(names::USE_CONSTRAINTS_FROM_SPEC, "")
            .spec("nodeSelector", json!({REGION: "us"}));
        let picked = template.clone().annotation(names::NO_RESERVATION, "");
        world.apply(&picked.deployment(ns, "hello", 4)).await?;
        world.apply(&template.deployment(ns, "ordinary", 2)).await?;
        let pods = world.running(ns, 6).await?;
        ensure!(
            pods.iter().all(|pod| node_of(pod) == "admiralty-us"),
            "not all are in us"
        );
        world.check_delegates(ns).await?;
        let delegates = world.delegates("us", ns).await?;
        let (hello, ordinary): (Vec<&Pod>, Vec<&Pod>) = delegates.iter().partition(|pod| is_picked(pod));
        let nodes: BTreeSet<String> = hello.iter().map(|pod| node_of(pod)).collect();
        ensure!(
            nodes.len() == 4 && nodes.iter().all(|node| node.starts_with("fargate-")),
            "{nodes:?}"
        );
        ensure!(
            ordinary.iter().all(|pod| node_of(pod).starts_with("us-")),
            "the profile picked too many"
        );

        let scale = ["scale", "deployment", "-n", ns, "hello", "--replicas=0"];
        world.source().kubectl(&scale).await?;
        eventually("Fargate's nodes to go", SOON, async || {
            let left = fargate_nodes(&world).await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(Some(()))
        })
        .await?;
        drop(fargate);
        for object in profile(ns) {
            let (kind, name) = (
                object["kind"].as_str().unwrap(),
                object["metadata"]["name"].as_str().unwrap(),
            );
            world.target("us").kubectl(&["delete", kind, name]).await?;
        }
        Ok(())
    })]
}

/// Wait until the profile counts: API servers take up policies a while after they are written.
async fn picks(world: &World, ns: &str) -> Result<()> {
    let pods = Api::<Pod>::namespaced(world.target("us").client(), ns);
    let probe = Template::ordinary().label("multicluster.admiralty.io/app", "hello");
    let probe: Pod = serde_json::from_value(probe.pod(ns, "probe"))?;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    eventually("the profile to pick pods", SOON, async || {
        let made = pods.create(&dry_run, &probe).await?;
        Ok(is_picked(&made).then_some(()))
    })
    .await
}

async fn fargate_nodes(world: &World) -> Result<Vec<String>> {
    let nodes = Api::<Node>::all(world.target("us").client());
    let found = nodes.list(&ListParams::default().labels(COMPUTE_TYPE)).await?;
    Ok(found.iter().map(ResourceExt::name_any).collect())
}

fn is_picked(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()) == Some(SCHEDULER)
}

/// The cluster's administrator picks delegates by their label, whatever their template says.
fn profile(ns: &str) -> [Value; 2] {
    let expression = format!("Object{{spec: Object.spec{{schedulerName: {SCHEDULER:?}}}}}");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": { "name": "fargate-profile" },
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": ns } },
                "objectSelector": { "matchLabels": { "multicluster.admiralty.io/app": "hello" } },
                "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
                }],
            },
            "mutations": [{
                "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": expression },
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": { "name": "fargate-profile" },
        "spec": { "policyName": "fargate-profile" },
    });
    [policy, binding]
}

/// The scheduler. Dropped, it ends.
struct Fargate(AbortHandle);

impl Fargate {
    fn start(client: Client, namespace: &'static str) -> Self {
        let task = tokio::spawn(async move {
            let mut seen = BTreeMap::new();
            loop {
                // A pod may go while its node comes; the next turn knows.
                let _ = turn(&client, namespace, &mut seen).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Fargate {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn turn(client: &Client, namespace: &str, seen: &mut BTreeMap<String, Instant>) -> Result<()> {
    let (pods, nodes) = (
        Api::<Pod>::namespaced(client.clone(), namespace),
        Api::<Node>::all(client.clone()),
    );
    let all = pods.list(&ListParams::default()).await?.items;
    for pod in all.iter().filter(|pod| is_picked(pod) && node_of(pod).is_empty()) {
        let (name, node) = (pod.name_any(), format!("fargate-{}", pod.uid().unwrap_or_default()));
        if seen.entry(name.clone()).or_insert_with(Instant::now).elapsed() < DELAY {
            continue;
        }
        if nodes.get_opt(&node).await?.is_none() {
            nodes
                .create(&PostParams::default(), &serde_json::from_value(machine(&node))?)
                .await?;
        }
        let binding: Binding = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": namespace },
            "target": { "apiVersion": "v1", "kind": "Node", "name": node },
        }))?;
        let _: Value = pods
            .create_subresource("binding", &name, &PostParams::default(), &binding)
            .await?;
    }
    let used: BTreeSet<String> = all.iter().map(node_of).collect();
    let waiting: BTreeSet<String> = all
        .iter()
        .filter(|pod| node_of(pod).is_empty())
        .map(|pod| format!("fargate-{}", pod.uid().unwrap_or_default()))
        .collect();
    for node in nodes.list(&ListParams::default().labels(COMPUTE_TYPE)).await? {
        let name = node.name_any();
        if !used.contains(&name) && !waiting.contains(&name) {
            nodes.delete(&name, &DeleteParams::default()).await?;
        }
    }
    Ok(())
}

/// A node for one pod, whose kubelet kwok plays.
fn machine(name: &str) -> Value {
    let room = json!({ "cpu": "1", "memory": "2Gi", "pods": "1" });
    json!({
        "metadata": {
            "name": name,
            "labels": { COMPUTE_TYPE: "fargate", REGION: "us", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" },
            "annotations": { "kwok.x-k8s.io/node": "fake" },
        },
        "spec": { "taints": [{ "key": COMPUTE_TYPE, "value": "fargate", "effect": "NoSchedule" }] },
        "status": { "allocatable": room, "capacity": room },
    })
}
