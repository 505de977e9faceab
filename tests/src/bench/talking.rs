//! What the way through a virtual node costs: kubectl exec and port-forward to a proxy pod in the source, and to its delegate in the
//! target, in turn.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use multicluster_api::names;
use serde_json::json;
use tokio::process::Command;

use super::forward::Forward;
use super::percentiles::{Durations, median_index};
use super::summary::{Goal, Summary};
use crate::product::{Product, Role};
use crate::{ClusterOptions, NodePool, Streams, Testbed, eventually};

const NAMESPACE: &str = "bench";
/// Commands each way; the first ones warm up.
const COMMANDS: usize = 40;
const WARM_UP: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// One pod, by both ways.
struct Way {
    kubeconfig: PathBuf,
    pod: String,
}

/// Measure both.
pub async fn measure(testbed: &Testbed, repeat: usize, summary: &mut Summary) -> Result<()> {
    let streams = Streams::start(testbed.dir()).await?;
    let source = ClusterOptions::new("source", []);
    let mut target = ClusterOptions::new("us", [NodePool::new("us", 1)]);
    target.kwok_config = streams.kwok_config();
    let product = Product::start(testbed, source, Role::Source, vec![target]).await?;
    product.connect_all().await?;
    product.namespace(NAMESPACE).await?;
    let ways = pod(&product).await?;
    let kubectl = testbed.binaries().find("kubectl")?;

    let mut times = [Vec::new(), Vec::new()];
    for number in 0..COMMANDS {
        for (way, times) in ways.iter().zip(&mut times) {
            let begin = Instant::now();
            way.exec(&kubectl).await?;
            if number >= WARM_UP {
                times.push(begin.elapsed());
            }
        }
    }
    let [through, direct] = times.map(Durations::from_iter);
    summary.goal(
        "exec_roundtrip_ratio",
        through.millis(50.0) / direct.millis(50.0),
        Goal::AtMost(1.5),
    );
    summary.note("exec_roundtrip_ms", through.millis(50.0));
    summary.note("exec_roundtrip_direct_ms", direct.millis(50.0));

    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..repeat {
        for (way, rates) in ways.iter().zip(&mut rates) {
            let forward = Forward::to_pod(&kubectl, &way.kubeconfig, NAMESPACE, &way.pod).await?;
            rates.push(forward.throughput().await?);
        }
    }
    let [through, direct] = rates.map(|rates| rates[median_index(&rates)]);
    summary.goal("portforward_mib_s_ratio", through / direct, Goal::AtLeast(0.7));
    summary.note("portforward_mib_s", through);
    summary.note("portforward_direct_mib_s", direct);
    Ok(())
}

impl Way {
    async fn exec(&self, kubectl: &PathBuf) -> Result<()> {
        let output = Command::new(kubectl)
            .args(["exec", "--namespace", NAMESPACE, &self.pod, "--kubeconfig"])
            .arg(&self.kubeconfig)
            .args(["--", "true"])
            .output()
            .await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// A pod that runs and can be talked to, through the source and in the target.
async fn pod(product: &Product) -> Result<[Way; 2]> {
    let (source, target) = (&product.source.cluster, &product.target("us")?.cluster);
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web", "namespace": NAMESPACE, "annotations": { names::ELECT: "" } },
        "spec": { "containers": [{ "name": "main", "image": "none" }] },
    });
    source.apply_yaml(&object.to_string()).await?;
    let wait = [
        "wait",
        "--for=condition=Ready",
        "--timeout=60s",
        "--namespace",
        NAMESPACE,
        "pod/web",
    ];
    source.kubectl(&wait).await?;
    let delegates = Api::<Pod>::namespaced(target.client(), NAMESPACE);
    let delegates = delegates.list(&ListParams::default()).await?;
    let delegate = delegates.items.first().context("there is no delegate")?.name_any();
    eventually("the pod to be reached", PATIENCE, async || {
        source
            .kubectl(&["logs", "--namespace", NAMESPACE, "web"])
            .await
            .map(Some)
    })
    .await?;
    Ok([
        Way {
            kubeconfig: source.kubeconfig(),
            pod: "web".into(),
        },
        Way {
            kubeconfig: target.kubeconfig(),
            pod: delegate,
        },
    ])
}
