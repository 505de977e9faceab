//! A target hangs: how long until it is noticed, until its pods run elsewhere, and until all is clean after its return.
//!
//! ```text
//! SIGSTOP of its API server ──▶ virtual node NotReady ──▶ 4 new pods run elsewhere ──▶ all replicas run elsewhere
//!            └────── detect_s ──────┘└─ dead_target_schedule_s ┘                                 │
//!            └──────────────────────────── migrate_s ────────────────────────────────────────────┘
//! SIGCONT ──▶ virtual node Ready, left-over delegates gone
//!    └────────────────── recover_s ─────────┘
//! ```

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use multicluster_api::{TargetRef, names};
use serde_json::json;

use super::summary::{Goal, Summary};
use crate::nodes::is_ready;
use crate::product::{Product, Role, Scope};
use crate::{ClusterOptions, Component, NodePool, Testbed, eventually};

const NAMESPACE: &str = "failover";
const TARGETS: [&str; 2] = ["west", "east"];
/// Replicas of the Deployment that loses a part of its pods.
const REPLICAS: usize = 20;
/// Pods that are created while a target is away.
const NEW_PODS: usize = 4;
/// How long the pods tolerate a node that is NotReady.
const TOLERATION_SECONDS: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// What one hang showed.
#[derive(Debug, Default)]
struct Times {
    detect: Duration,
    schedule_at_once: Duration,
    schedule: Duration,
    migrate: Duration,
    recover: Duration,
}

/// Hang one target after the other, `repeat` times; the slowest of each time counts.
pub async fn measure(testbed: &Testbed, repeat: usize, summary: &mut Summary) -> Result<()> {
    let targets = TARGETS.map(|name| ClusterOptions::new(name, [NodePool::new(name, 4)]));
    let source = ClusterOptions::new("source", []);
    let product = Product::start(testbed, source, Role::Source, targets.into()).await?;
    for target in TARGETS {
        product.connect(target, Scope::Cluster).await?;
    }
    product.namespace(NAMESPACE).await?;
    let mut all = Vec::new();
    for number in 0..repeat {
        let failover = Failover {
            product: &product,
            lost: TARGETS[number % TARGETS.len()],
        };
        let times = failover.run().await.with_context(|| format!("hang {number}"))?;
        println!("hang {number}: {times:.2?}");
        all.push(times);
    }
    let slowest = |time: fn(&Times) -> Duration| all.iter().map(time).max().unwrap_or_default().as_secs_f64();
    summary.goal("detect_s", slowest(|times| times.detect), Goal::AtMost(10.0));
    summary.goal("migrate_s", slowest(|times| times.migrate), Goal::AtMost(20.0));
    summary.goal(
        "dead_target_schedule_s",
        slowest(|times| times.schedule),
        Goal::AtMost(2.0),
    );
    summary.note("hung_target_schedule_s", slowest(|times| times.schedule_at_once));
    summary.note("recover_s", slowest(|times| times.recover));
    Ok(())
}

struct Failover<'a> {
    product: &'a Product,
    /// The target that hangs.
    lost: &'a str,
}

impl Failover<'_> {
    async fn run(mut self) -> Result<Times> {
        self.deploy("web", REPLICAS).await?;
        self.until_running("web", REPLICAS, false).await?;
        if !self.pods("web").await?.iter().any(|pod| self.is_lost(pod)) {
            // So few and small pods may all be in one target.
            self.lost = TARGETS[usize::from(self.lost == TARGETS[0])];
        }
        let server = self
            .product
            .target(self.lost)?
            .cluster
            .component(Component::ApiServer)?;
        server.pause()?;
        let hung = Instant::now();
        let times = self.while_hung(hung).await;
        server.resume()?;
        let back = Instant::now();
        let mut times = times?;
        self.until_clean().await?;
        times.recover = back.elapsed();
        for name in ["web", "at-once", "late"] {
            self.deployments().delete(name, &DeleteParams::background()).await?;
        }
        self.until_empty().await?;
        Ok(times)
    }

    async fn while_hung(&self, hung: Instant) -> Result<Times> {
        // Before anybody can know.
        let at_once = async {
            self.deploy("at-once", NEW_PODS).await?;
            self.until_running("at-once", NEW_PODS, true).await?;
            anyhow::Ok(hung.elapsed())
        };
        let noticed = async {
            self.until_node(false).await?;
            let detect = hung.elapsed();
            let created = Instant::now();
            self.deploy("late", NEW_PODS).await?;
            self.until_running("late", NEW_PODS, true).await?;
            anyhow::Ok((detect, created.elapsed()))
        };
        let migrated = async {
            self.until_running("web", REPLICAS, true).await?;
            anyhow::Ok(hung.elapsed())
        };
        let (schedule_at_once, (detect, schedule), migrate) = tokio::try_join!(at_once, noticed, migrated)?;
        Ok(Times {
            detect,
            schedule_at_once,
            schedule,
            migrate,
            recover: Duration::ZERO,
        })
    }

    fn node(&self) -> String {
        TargetRef::cluster(self.lost).virtual_node().into()
    }

    fn is_lost(&self, pod: &Pod) -> bool {
        pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == Some(&self.node())
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.product.source.cluster.client(), NAMESPACE)
    }

    async fn pods(&self, app: &str) -> Result<Vec<Pod>> {
        let api = Api::<Pod>::namespaced(self.product.source.cluster.client(), NAMESPACE);
        let labels = ListParams::default().labels(&format!("app={app}"));
        Ok(api.list(&labels).await?.items)
    }

    async fn deploy(&self, name: &str, replicas: usize) -> Result<()> {
        let toleration = |key: &str| {
            json!({
                "key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": TOLERATION_SECONDS,
            })
        };
        let labels = json!({ "app": name });
        let deployment = json!({
            "metadata": { "name": name },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels, "annotations": { names::ELECT: "" } },
                    "spec": {
                        "tolerations": [toleration(names::NOT_READY), toleration(names::UNREACHABLE)],
                        "containers": [{
                            "name": "main", "image": "none",
                            "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
                        }],
                    },
                },
            },
        });
        let deployment = serde_json::from_value(deployment)?;
        self.deployments().create(&Default::default(), &deployment).await?;
        Ok(())
    }

    /// Wait until as many pods run and are not going; `elsewhere`: not in the lost target.
    async fn until_running(&self, app: &str, count: usize, elsewhere: bool) -> Result<()> {
        eventually(&format!("{count} pods of {app} to run"), PATIENCE, async || {
            let running = |pod: &&Pod| {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
            };
            let pods = self.pods(app).await?;
            let counted = pods
                .iter()
                .filter(running)
                .filter(|pod| !elsewhere || !self.is_lost(pod));
            Ok((counted.count() >= count).then_some(()))
        })
        .await
    }

    async fn until_node(&self, ready: bool) -> Result<()> {
        let (nodes, name) = (Api::<Node>::all(self.product.source.cluster.client()), self.node());
        eventually(&format!("{name} to be Ready: {ready}"), PATIENCE, async || {
            Ok((is_ready(&nodes.get(&name).await?) == ready).then_some(()))
        })
        .await
    }

    /// Its virtual node is Ready, and no delegate is there without a pod that is bound there.
    async fn until_clean(&self) -> Result<()> {
        self.until_node(true).await?;
        let delegates = Api::<Pod>::namespaced(self.product.target(self.lost)?.cluster.client(), NAMESPACE);
        eventually("left-over delegates to be gone", PATIENCE, async || {
            let mut expected = 0;
            for app in ["web", "at-once", "late"] {
                expected += self.pods(app).await?.iter().filter(|pod| self.is_lost(pod)).count();
            }
            Ok((delegates.list(&ListParams::default()).await?.items.len() <= expected).then_some(()))
        })
        .await
    }

    async fn until_empty(&self) -> Result<()> {
        for seat in self.product.seats() {
            let pods = Api::<Pod>::namespaced(seat.cluster.client(), NAMESPACE);
            eventually("all pods to be gone", PATIENCE, async || {
                let left = pods.list_metadata(&ListParams::default().limit(1)).await?;
                Ok(left.items.is_empty().then_some(()))
            })
            .await?;
        }
        Ok(())
    }
}
