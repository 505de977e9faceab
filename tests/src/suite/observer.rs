//! Watches what users would notice: how late statuses are, whether nodes stay ready and pods stay as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::eventually;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use multicluster_api::names;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinHandle;

use super::world::{SOON, World, describe, is_running};

/// The annotation that is changed again and again.
const BEAT: &str = "tests/beat";
/// How often it is changed.
const PERIOD: Duration = Duration::from_millis(100);

/// Changes a delegate all the time, and sees how late its proxy pod shows it.
pub struct Lateness {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Shared {
    /// When each change was made.
    made: Mutex<Vec<Instant>>,
    /// How many of them the proxy pod shows.
    shown: AtomicUsize,
    latest: Mutex<Duration>,
}

impl Lateness {
    /// Observe a pod of a namespace whose delegate is in the target `us`. Returns when its changes show.
    pub async fn observe(world: &World, namespace: &str, name: &str) -> Result<Self> {
        let pods = Api::<Pod>::namespaced(world.source().client(), namespace);
        let uid = pods.get(name).await?.uid().context("uid")?;
        let delegates = Api::<Pod>::namespaced(world.target("us").client(), namespace);
        let of_pod = ListParams::default().labels(&format!("{}={uid}", names::PARENT_UID));
        let delegate = delegates
            .list(&of_pod)
            .await?
            .items
            .pop()
            .context("no delegate in us")?;
        let shared = Arc::<Shared>::default();
        let write = tokio::spawn(shared.clone().write(delegates, delegate.name_any()));
        let read = tokio::spawn(shared.clone().read(pods, name.to_owned()));
        let lateness = Self {
            shared,
            tasks: [write, read],
        };
        lateness.caught_up().await?;
        *lateness.shared.latest.lock() = Duration::ZERO;
        Ok(lateness)
    }

    /// Wait until what is changed from now on shows.
    pub async fn caught_up(&self) -> Result<()> {
        let last = self.shared.made.lock().len() + 1;
        eventually("changes to show", SOON, async || {
            Ok((self.shared.shown.load(Ordering::Relaxed) > last).then_some(()))
        })
        .await
    }

    /// The longest time that a change took to show.
    pub fn longest(&self) -> Duration {
        *self.shared.latest.lock()
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    async fn write(self: Arc<Self>, delegates: Api<Pod>, name: String) {
        loop {
            let next = self.made.lock().len() + 1;
            let patch = Patch::Merge(json!({ "metadata": { "annotations": { BEAT: next.to_string() } } }));
            if delegates.patch(&name, &PatchParams::default(), &patch).await.is_ok() {
                self.made.lock().push(Instant::now());
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn read(self: Arc<Self>, pods: Api<Pod>, name: String) {
        loop {
            if let Ok(pod) = pods.get(&name).await {
                let shown = pod.annotations().get(BEAT).and_then(|beat| beat.parse().ok());
                self.see(shown.unwrap_or_default(), Instant::now());
            }
            tokio::time::sleep(PERIOD / 2).await;
        }
    }

    fn see(&self, shown: usize, now: Instant) {
        self.shown.store(shown, Ordering::Relaxed);
        // The oldest change that does not show.
        if let Some(made) = self.made.lock().get(shown) {
            let mut latest = self.latest.lock();
            *latest = latest.max(now.saturating_duration_since(*made));
        }
    }
}

/// When each virtual node last changed between Ready and not; an error unless all are Ready.
pub async fn readiness(world: &World) -> Result<Vec<(String, String)>> {
    let nodes = Api::<Node>::all(world.source().client());
    let ours = ListParams::default().labels(&format!("{}={}", names::PROVIDER, names::PROVIDER_VALUE));
    let mut seen = Vec::new();
    for node in nodes.list(&ours).await? {
        let conditions = node
            .status
            .clone()
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        let ready = ready.with_context(|| format!("{} has no Ready condition", node.name_any()))?;
        ensure!(ready.status == "True", "{} is {:?}", node.name_any(), ready);
        seen.push((node.name_any(), format!("{:?}", ready.last_transition_time)));
    }
    ensure!(!seen.is_empty(), "no virtual node");
    Ok(seen)
}

/// Looks at the pods of a namespace all the time: they are to stay the same, and running.
pub struct Steady {
    uids: Vec<Option<String>>,
    pods: Api<Pod>,
    seen: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Steady {
    /// From now on.
    pub async fn observe(world: &World, namespace: &str) -> Result<Self> {
        let pods = Api::<Pod>::namespaced(world.source().client(), namespace);
        let (seen, looking) = (Arc::<Mutex<Option<String>>>::default(), pods.clone());
        let trouble = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                if let Ok(list) = looking.list(&ListParams::default()).await
                    && !list.iter().all(is_running)
                {
                    trouble.lock().get_or_insert(describe(&list.items));
                }
                tokio::time::sleep(PERIOD).await;
            }
        });
        Ok(Self {
            uids: uids(&pods).await?,
            pods,
            seen,
            task,
        })
    }

    /// An error if a pod was ever seen not running, or is another one now.
    pub async fn check(&self) -> Result<()> {
        if let Some(seen) = &*self.seen.lock() {
            anyhow::bail!("not all ran all the time: {seen}");
        }
        ensure!(uids(&self.pods).await? == self.uids, "pods were replaced");
        Ok(())
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn uids(pods: &Api<Pod>) -> Result<Vec<Option<String>>> {
    let mut uids: Vec<_> = pods
        .list(&ListParams::default())
        .await?
        .iter()
        .map(ResourceExt::uid)
        .collect();
    uids.sort();
    Ok(uids)
}
