//! A HorizontalPodAutoscaler in the source scales one Deployment over several targets, by what its delegates use.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::eventually;

/// A Deployment that is scaled; its pods have the label `app` with its name.
#[derive(Clone, Copy, Debug)]
pub struct Scaled<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name of the Deployment, and of its autoscaler.
    pub name: &'a str,
    /// Pods without load.
    pub least: usize,
    /// Pods that there may be.
    pub most: usize,
    /// CPU that is aimed at, in hundredths of what a pod requests.
    pub percent: u32,
}

impl Scaled<'_> {
    /// The autoscaler; it follows at once when the load falls.
    pub fn autoscaler(&self) -> Value {
        let at_once = json!({ "stabilizationWindowSeconds": 0 });
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": self.name, "namespace": self.namespace },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": self.name },
                "minReplicas": self.least, "maxReplicas": self.most,
                "metrics": [{ "type": "Resource", "resource": {
                    "name": "cpu", "target": { "type": "Utilization", "averageUtilization": self.percent },
                }}],
                "behavior": { "scaleUp": at_once, "scaleDown": at_once },
            },
        })
    }

    /// Wait until the autoscaler knows what the pods use. Returns that, in hundredths of what they request.
    pub async fn measured(&self, source: &Client, patience: Duration) -> Result<i32> {
        let api = Api::<HorizontalPodAutoscaler>::namespaced(source.clone(), self.namespace);
        eventually(
            &format!("the autoscaler {} to know the load", self.name),
            patience,
            async || {
                let status = api.get(self.name).await?.status.unwrap_or_default();
                let metrics = status.current_metrics.iter().flatten();
                let mut current = metrics.filter_map(|metric| metric.resource.as_ref()?.current.average_utilization);
                let found = current.next();
                ensure!(found.is_some(), "{:?}", status.conditions);
                Ok(found)
            },
        )
        .await
    }

    /// Wait until at least so many pods are Ready, on at least so many virtual nodes, or at most so many are left.
    pub async fn has(&self, source: &Client, wanted: Wanted, patience: Duration) -> Result<Vec<Pod>> {
        let api = Api::<Pod>::namespaced(source.clone(), self.namespace);
        let ours = ListParams::default().labels(&format!("app={}", self.name));
        eventually(&format!("{wanted:?} pods of {}", self.name), patience, async || {
            let pods = api.list(&ours).await?.items;
            let ready: Vec<_> = pods.iter().filter(|pod| is_ready(pod)).cloned().collect();
            let nodes: BTreeSet<_> = ready
                .iter()
                .filter_map(|pod| pod.spec.as_ref()?.node_name.clone())
                .collect();
            let done = match wanted {
                Wanted::AtLeast { pods, nodes: on } => ready.len() >= pods && nodes.len() >= on,
                Wanted::AtMost(most) => pods.len() <= most,
            };
            ensure!(done, "{} pods, {} of them Ready on {nodes:?}", pods.len(), ready.len());
            Ok(Some(ready))
        })
        .await
    }

    /// The whole story: the autoscaler knows the load of `least` pods; it makes at least twice as many (and 4), over two
    /// targets, while there is load (`load(true)`); and takes them back when there is none (`load(false)`). The Deployment
    /// has `least` pods at the beginning.
    pub async fn follows_load(
        &self,
        source: &Client,
        load: impl AsyncFn(bool) -> Result<()>,
        patience: Duration,
    ) -> Result<()> {
        let at_rest = self.measured(source, patience).await?;
        ensure!(
            at_rest <= self.percent.try_into()?,
            "there is load at the beginning: {at_rest} %"
        );
        load(true).await?;
        let pods = (2 * self.least).max(4);
        self.has(source, Wanted::AtLeast { pods, nodes: 2 }, patience).await?;
        load(false).await?;
        self.has(source, Wanted::AtMost(self.least), patience).await.map(drop)
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// So many Ready pods, on so many nodes.
    AtLeast {
        /// Pods.
        pods: usize,
        /// Nodes.
        nodes: usize,
    },
    /// So many pods.
    AtMost(usize),
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
