//! How soon a name no longer leads to a target that hangs, or has no pods: asked of CoreDNS, as users ask.
//!
//! ```text
//! 2 targets, 4 pods of a Service in each, an Ingress; load balancers that only have addresses
//!   agent ─▶ DNSEndpoint ─▶ external-dns ─▶ etcd ─▶ CoreDNS
//! SIGSTOP of a target's API server ─▶ its address is in no answer ──▶ dns_failover_s
//! SIGCONT ──────────────────────────▶ it is in the answers again ───▶ dns_restore_s
//! its Deployment scaled to 0 ───────▶ its address is in no answer ──▶ dns_scale_to_zero_s
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use multicluster_api::{TargetRef, names};
use serde_json::{Value, json};

use super::summary::{Goal, Summary};
use crate::dns::{Dns, Zone};
use crate::load_balancers::{Addresses, LoadBalancers};
use crate::product::{Product, Role, Scope};
use crate::{ClusterOptions, Component, NodePool, Testbed, eventually};

const NAMESPACE: &str = "names";
const TARGETS: [&str; 2] = ["west", "east"];
/// Pods in each target.
const REPLICAS: usize = 4;
/// The label that chooses a target.
const REGION: &str = "topology.kubernetes.io/region";
const PATIENCE: Duration = Duration::from_secs(120);

/// What one round showed.
#[derive(Debug)]
struct Times {
    failover: Duration,
    restore: Duration,
    scale_to_zero: Duration,
}

/// Hang one target after the other, and take its pods away, `repeat` times; the slowest of each time counts.
pub async fn measure(testbed: &Testbed, repeat: usize, summary: &mut Summary) -> Result<()> {
    let names = Names::start(testbed).await?;
    let mut all = Vec::new();
    for number in 0..repeat {
        let target = TARGETS[number % TARGETS.len()];
        let times = names.round(target).await.with_context(|| format!("round {number}"))?;
        println!("round {number}: {times:.2?}");
        all.push(times);
    }
    let slowest = |time: fn(&Times) -> Duration| all.iter().map(time).max().unwrap_or_default().as_secs_f64();
    summary.goal("dns_failover_s", slowest(|times| times.failover), Goal::AtMost(10.0));
    summary.goal(
        "dns_scale_to_zero_s",
        slowest(|times| times.scale_to_zero),
        Goal::AtMost(10.0),
    );
    summary.note("dns_restore_s", slowest(|times| times.restore));
    Ok(())
}

struct Names {
    product: Product,
    balancers: BTreeMap<&'static str, LoadBalancers>,
    dns: Dns,
    host: String,
}

impl Names {
    /// Clusters, DNS and an application in both targets.
    async fn start(testbed: &Testbed) -> Result<Self> {
        let targets = TARGETS.map(|name| ClusterOptions::new(name, [NodePool::new(name, 4).label(REGION, name)]));
        let mut source = ClusterOptions::new("source", []);
        source.crds = testbed.binaries().with_dns().await?.dns_endpoint_crds()?;
        let product = Product::start(testbed, source, Role::Source, targets.into()).await?;
        let mut balancers = BTreeMap::new();
        for (number, target) in (0..).zip(TARGETS) {
            product.connect(target, Scope::Cluster).await?;
            let cluster = &product.target(target)?.cluster;
            balancers.insert(target, LoadBalancers::start(cluster, Addresses::new(target, number)));
        }
        // One record for the name: what is measured is the way, not a provider's weights.
        let zone = Zone::Simple;
        let dns = Dns::start_zones(testbed, &product.source.cluster, &[zone], &BTreeMap::new()).await?;
        product.namespace(NAMESPACE).await?;
        let host = zone.host("web");
        let names = Self {
            product,
            balancers,
            dns,
            host,
        };
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": names.objects() });
        names.product.source.cluster.apply_yaml(&list.to_string()).await?;
        names.until_named(&TARGETS).await?;
        Ok(names)
    }

    fn objects(&self) -> Vec<Value> {
        let metadata = json!({ "name": "web", "namespace": NAMESPACE });
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
        });
        let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
        let paths = json!([{ "path": "/", "pathType": "Prefix", "backend": backend }]);
        let ingress = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "web", "namespace": NAMESPACE, "annotations": { names::DNS_POLICY: "simple" } },
            "spec": {
                "ingressClassName": "nginx",
                "rules": [{ "host": self.host, "http": { "paths": paths } }],
            },
        });
        let deployments = TARGETS.map(|target| {
            let labels = json!({ "app": "web", "target": target });
            let annotations = json!({ names::ELECT: "", names::USE_CONSTRAINTS_FROM_SPEC: "" });
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": { "name": deployment(target), "namespace": NAMESPACE },
                "spec": {
                    "replicas": REPLICAS,
                    "selector": { "matchLabels": labels },
                    "template": {
                        "metadata": { "labels": labels, "annotations": annotations },
                        "spec": {
                            "nodeSelector": { REGION: target },
                            "containers": [{ "name": "main", "image": "none" }],
                        },
                    },
                },
            })
        });
        deployments.into_iter().chain([service, ingress]).collect()
    }

    async fn round(&self, target: &str) -> Result<Times> {
        let other = TARGETS[usize::from(target == TARGETS[0])];
        self.settled().await?;
        let server = self.product.target(target)?.cluster.component(Component::ApiServer)?;
        server.pause()?;
        let failover = self.until_named(&[other]).await;
        server.resume()?;
        let (failover, restore) = (failover?, self.until_named(&TARGETS).await?);
        let node: String = TargetRef::cluster(target).virtual_node().into();
        self.product.wait_node_ready(&node).await?;
        self.settled().await?;
        let scaled = Instant::now();
        self.scale(target, 0).await?;
        self.until_named(&[other]).await?;
        let scale_to_zero = scaled.elapsed();
        self.scale(target, REPLICAS).await?;
        self.until_named(&TARGETS).await?;
        Ok(Times {
            failover,
            restore,
            scale_to_zero,
        })
    }

    async fn scale(&self, target: &str, replicas: usize) -> Result<()> {
        let (name, replicas) = (deployment(target), format!("--replicas={replicas}"));
        let args = ["scale", "deployment", &name, &replicas, "--namespace", NAMESPACE];
        self.product.source.cluster.kubectl(&args).await.map(drop)
    }

    /// Wait until the answer has the addresses of these targets, and of no others. Returns how long it took.
    async fn until_named(&self, targets: &[&str]) -> Result<Duration> {
        let start = Instant::now();
        eventually(&format!("the name to lead to {targets:?}"), PATIENCE, async || {
            self.product.source.agent.check()?;
            self.dns.check()?;
            let answer = self.dns.resolver.addresses(&self.host).await?;
            let named = |target: &str| {
                answer
                    .iter()
                    .any(|address| self.balancers[target].addresses.has(*address))
            };
            let as_wanted = TARGETS.iter().all(|target| named(target) == targets.contains(target));
            ensure!(as_wanted, "it leads to {answer:?}");
            Ok(Some(()))
        })
        .await?;
        Ok(start.elapsed())
    }

    /// Wait until all pods run, and no others are there.
    async fn settled(&self) -> Result<()> {
        let pods = Api::<Pod>::namespaced(self.product.source.cluster.client(), NAMESPACE);
        eventually("all pods to run", PATIENCE, async || {
            let all = pods.list(&ListParams::default()).await?.items;
            let running = all.iter().filter(|pod| {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
            });
            let wanted = REPLICAS * TARGETS.len();
            Ok((running.count() == wanted && all.len() == wanted).then_some(()))
        })
        .await
    }
}

fn deployment(target: &str) -> String {
    format!("web-{target}")
}
