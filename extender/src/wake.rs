//! Wakes pods that were refused: a change of a virtual node makes kube-scheduler try them again.

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashSet;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use multicluster_api::names;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::index::Wakes;

/// A node is touched at most once in so long.
const PAUSE: Duration = Duration::from_secs(1);
/// Most nodes that are being touched at a time.
const MOST: usize = 8;

/// Touch the nodes that `wakes` names, until `stop`.
pub async fn run(client: Client, mut wakes: Wakes, stop: CancellationToken) {
    let nodes = Api::<Node>::all(client);
    let slots = Arc::new(Semaphore::new(MOST));
    let mut pause = tokio::time::interval(PAUSE);
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let Some(Some(first)) = stop.run_until_cancelled(wakes.recv()).await else {
            return;
        };
        let mut names = AHashSet::from([first]);
        // The first wake after a quiet time goes at once, those that follow within the pause go together.
        if stop.run_until_cancelled(pause.tick()).await.is_none() {
            return;
        }
        while let Ok(name) = wakes.try_recv() {
            names.insert(name);
        }
        for name in names {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let nodes = nodes.clone();
            tokio::spawn(async move {
                touch(&nodes, &name).await;
                drop(slot);
            });
        }
    }
}

async fn touch(nodes: &Api<Node>, name: &str) {
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let patch = Patch::Merge(json!({"metadata": {"annotations": {names::WAKE: now}}}));
    match nodes.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => {}
        // The agent has not made the node yet, or has removed it: its coming is an event as well.
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(error) => tracing::warn!(node = name, %error, "cannot wake the pods that a virtual node refused"),
    }
}
