//! What tests of failures ask of the clusters.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use crate::eventually;
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use multicluster_api::{ClusterTarget, names};
use serde_json::{Value, json};

use super::fixtures::Template;
use super::world::{SOON, World, describe, is_running, node_of, phase};

/// The virtual node of a target.
pub fn node(target: &str) -> String {
    format!("admiralty-{target}")
}

/// UIDs of objects.
pub fn uids<K: ResourceExt>(objects: &[K]) -> BTreeSet<String> {
    objects.iter().filter_map(ResourceExt::uid).collect()
}

/// A pod template that leaves a node which is not ready after so many seconds, or never.
pub fn tolerating(seconds: Option<i64>) -> Template {
    let toleration = |key: &str| {
        let mut toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute"});
        if let Some(seconds) = seconds {
            toleration["tolerationSeconds"] = json!(seconds);
        }
        toleration
    };
    Template::elected().spec(
        "tolerations",
        json!([toleration(names::NOT_READY), toleration(names::UNREACHABLE)]),
    )
}

/// A pod template that rather goes to one target than to others.
pub fn preferring(target: &str) -> Template {
    let preference = json!({"matchExpressions": [
        {"key": names::CLUSTER_TARGET_NAME, "operator": "In", "values": [target]},
    ]});
    let preferred = json!([{"weight": 100, "preference": preference}]);
    let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}});
    let constraints = json!({ "affinity": affinity }).to_string();
    Template::elected().annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, &constraints)
}

impl World {
    /// Pods of one Deployment in the source that are not going.
    pub async fn pods_of(&self, namespace: &str, app: &str) -> Result<Vec<Pod>> {
        let api = Api::<Pod>::namespaced(self.source().client(), namespace);
        let pods = api.list(&ListParams::default().labels(&format!("app={app}"))).await?;
        let alive = pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(alive.collect())
    }

    /// Wait until exactly `count` pods of a Deployment run and none of `not` is among them. How long it took.
    pub async fn running_apart_from(
        &self,
        namespace: &str,
        app: &str,
        count: usize,
        not: &BTreeSet<String>,
    ) -> Result<(Vec<Pod>, Duration)> {
        let start = Instant::now();
        let what = format!("{count} pods of {namespace}/{app} to run");
        let pods = eventually(&what, SOON, async || {
            let pods = self.pods_of(namespace, app).await?;
            let done = pods.len() == count && pods.iter().all(is_running) && uids(&pods).is_disjoint(not);
            ensure!(done, "{}", describe(&pods));
            Ok(Some(pods))
        })
        .await?;
        Ok((pods, start.elapsed()))
    }

    /// [`World::running_apart_from`] nothing.
    pub async fn running_of(&self, namespace: &str, app: &str, count: usize) -> Result<(Vec<Pod>, Duration)> {
        self.running_apart_from(namespace, app, count, &BTreeSet::new()).await
    }

    /// Make a Deployment whose pods all begin in one target: the other one is cordoned meanwhile.
    pub async fn begin_in(&self, target: &str, other: &str, deployments: &[Value]) -> Result<()> {
        self.source().kubectl(&["cordon", &node(other)]).await?;
        let begun = async {
            for deployment in deployments {
                self.apply(deployment).await?;
            }
            for deployment in deployments {
                let text = |path| deployment.pointer(path).and_then(Value::as_str).unwrap_or_default();
                let replicas = deployment["spec"]["replicas"].as_u64().unwrap_or_default() as usize;
                let (pods, _) = self
                    .running_of(text("/metadata/namespace"), text("/metadata/name"), replicas)
                    .await?;
                ensure!(
                    pods.iter().all(|pod| node_of(pod) == node(target)),
                    "{}",
                    describe(&pods)
                );
            }
            Ok(())
        };
        let begun = begun.await;
        self.source().kubectl(&["uncordon", &node(other)]).await?;
        begun
    }

    /// The Ready condition of a virtual node.
    pub async fn node_ready(&self, target: &str) -> Result<NodeCondition> {
        let found = Api::<Node>::all(self.source().client()).get(&node(target)).await?;
        let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        ready.context("no Ready condition")
    }

    /// Reason of a target's own Ready condition.
    pub async fn target_reason(&self, target: &str) -> Result<String> {
        let found = Api::<ClusterTarget>::all(self.source().client()).get(target).await?;
        let conditions = found.status.unwrap_or_default().conditions;
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        Ok(ready.context("no Ready condition")?.reason)
    }

    /// Wait until a virtual node is NotReady for one of these reasons. How long it took.
    pub async fn not_ready(&self, target: &str, reasons: &[&str]) -> Result<Duration> {
        let start = Instant::now();
        eventually(&format!("{target} to be NotReady, {reasons:?}"), SOON, async || {
            let ready = self.node_ready(target).await?;
            let reason = ready.reason.clone().unwrap_or_default();
            ensure!(
                ready.status == "False" && reasons.contains(&reason.as_str()),
                "{ready:?}"
            );
            Ok(Some(()))
        })
        .await?;
        Ok(start.elapsed())
    }

    /// Names of a namespace's chaperons in a target that stand for no living proxy pod there; and of those the ones that
    /// nobody has deleted yet.
    pub async fn left_overs(&self, target: &str, namespace: &str) -> Result<(Vec<String>, Vec<String>)> {
        let living = self.pods(namespace).await?;
        let living: BTreeSet<_> = living
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none() && node_of(pod) == node(target))
            .filter_map(ResourceExt::uid)
            .collect();
        let chaperons = self.chaperons(target, namespace).await?;
        let left: Vec<_> = chaperons
            .iter()
            .filter(|chaperon| {
                chaperon
                    .labels()
                    .get(names::PARENT_UID)
                    .is_none_or(|uid| !living.contains(uid))
            })
            .collect();
        let undeleted = left
            .iter()
            .filter(|chaperon| chaperon.metadata.deletion_timestamp.is_none());
        let undeleted = undeleted.map(|chaperon| chaperon.name_any()).collect();
        Ok((left.iter().map(|chaperon| chaperon.name_any()).collect(), undeleted))
    }

    /// Fails as soon as a proxy pod of the namespace has two living delegates, or else ends as `work` does.
    pub async fn nothing_twice(&self, namespace: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
        let watch = async {
            loop {
                let mut seen = BTreeSet::new();
                for target in self.product.targets.keys() {
                    // A target whose API server is away is looked at when it is back.
                    for delegate in self.delegates(target, namespace).await.unwrap_or_default() {
                        let alive = delegate.metadata.deletion_timestamp.is_none() && phase(&delegate) == "Running";
                        let parent = delegate.labels().get(names::PARENT_UID).cloned().unwrap_or_default();
                        if alive && !seen.insert(parent) {
                            bail!("{} runs twice", delegate.name_any());
                        }
                    }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! { result = work => result, result = watch => result }
    }
}
