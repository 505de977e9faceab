//! Workloads that come, change and go; which ones, and when, follows from a seed.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::names;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::world::WORKLOADS;
use super::{At, Clock, Kind};
use crate::ENDS;

/// Label of pods: the name of their workload.
pub const APP: &str = "app";
/// How long pods stay on a virtual node that is not well.
const TOLERATION_SECONDS: u32 = 5;
/// Between two changes.
const GAP_SECONDS: (f64, f64) = (0.5, 3.0);
/// How long the API server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(1);
/// How often a change is tried: for longer than any fault lasts.
const TRIES: usize = 60;

/// What users do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new workload with so many pods.
    Create(Name, usize),
    /// Another number of pods.
    Scale(Name, usize),
    /// Delete a workload.
    Delete(Name),
    /// Delete one of its pods: the one at this place, counted round.
    DeletePod(Name, usize),
}

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub index: usize,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.index)
    }
}

/// Decides what is done next. Pure.
pub struct Plan {
    rng: Rng,
    alive: BTreeMap<Name, usize>,
}

impl Plan {
    /// The changes that follow from a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            // Not the numbers that the faults are made of.
            rng: Rng::with_seed(seed ^ 0x5eed),
            alive: BTreeMap::new(),
        }
    }

    /// How many of a kind there may be, and their pods.
    fn limits(kind: Kind) -> (usize, std::ops::RangeInclusive<usize>) {
        match kind {
            Kind::Deployment => (4, 2..=6),
            Kind::StatefulSet => (3, 2..=4),
            Kind::Job => (3, 2..=5),
        }
    }

    /// What is done next, and how long after the last change.
    pub fn next(&mut self) -> (Duration, Change) {
        let (least, most) = GAP_SECONDS;
        let gap = Duration::from_secs_f64(least + (most - least) * self.rng.f64());
        let kind = [
            Kind::Deployment,
            Kind::StatefulSet,
            Kind::Deployment,
            Kind::StatefulSet,
            Kind::Job,
        ][self.rng.usize(..5)];
        let (most, pods) = Self::limits(kind);
        let name = Name {
            kind,
            index: self.rng.usize(..most),
        };
        let count = self.rng.usize(pods);
        let change = match (self.alive.get(&name), self.rng.u8(..10)) {
            (None, _) => Change::Create(name, count),
            (Some(_), 0) => Change::Delete(name),
            (Some(_), _) if kind == Kind::Job => Change::Delete(name),
            (Some(now), 1..=4) if *now != count => Change::Scale(name, count),
            (Some(_), _) => Change::DeletePod(name, self.rng.usize(..100)),
        };
        match change {
            Change::Create(name, count) | Change::Scale(name, count) => drop(self.alive.insert(name, count)),
            Change::Delete(name) => drop(self.alive.remove(&name)),
            Change::DeletePod(..) => {}
        }
        (gap, change)
    }
}

/// Which workloads were changed when, last of all.
pub type Changed = Arc<Mutex<Vec<(At, String)>>>;

/// Does in the source what the plan says.
pub struct Churn {
    client: Client,
    clock: Clock,
    changed: Changed,
    plan: Plan,
}

impl Churn {
    /// Nothing is done yet.
    pub fn new(client: Client, clock: Clock, seed: u64, changed: Changed) -> Self {
        Self {
            client,
            clock,
            changed,
            plan: Plan::new(seed),
        }
    }

    /// Change something again and again until this time. Returns how many changes could not be made.
    pub async fn run(&mut self, until: At) -> usize {
        let mut failed = 0;
        loop {
            let (gap, change) = self.plan.next();
            tokio::time::sleep(gap).await;
            if self.clock.now() >= until {
                // The plan believes that it was made: make it.
                failed += usize::from(!self.make(&change).await);
                return failed;
            }
            failed += usize::from(!self.make(&change).await);
        }
    }

    async fn make(&self, change: &Change) -> bool {
        for _ in 0..TRIES {
            let answer = tokio::time::timeout(TIMEOUT, self.try_to(change)).await;
            let (Change::Create(name, _) | Change::Scale(name, _) | Change::Delete(name) | Change::DeletePod(name, _)) =
                change;
            // Also when it failed: it may have been done.
            self.changed.lock().push((self.clock.now(), name.to_string()));
            match answer {
                Ok(Ok(())) => return true,
                Ok(Err(_)) | Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
        eprintln!("soak: {change:?} could not be done");
        false
    }

    async fn try_to(&self, change: &Change) -> Result<()> {
        match change {
            Change::Create(name, count) => match name.kind {
                Kind::Deployment => self.create::<Deployment>(&deployment(*name, *count)).await,
                Kind::StatefulSet => self.create::<StatefulSet>(&stateful_set(*name, *count)).await,
                Kind::Job => self.create::<Job>(&job(*name, *count)).await,
            },
            Change::Scale(name, count) => match name.kind {
                Kind::Deployment => self.scale::<Deployment>(name, *count).await,
                Kind::StatefulSet => self.scale::<StatefulSet>(name, *count).await,
                Kind::Job => Ok(()),
            },
            Change::Delete(name) => match name.kind {
                Kind::Deployment => self.delete::<Deployment>(&name.to_string()).await,
                Kind::StatefulSet => self.delete::<StatefulSet>(&name.to_string()).await,
                Kind::Job => self.delete::<Job>(&name.to_string()).await,
            },
            Change::DeletePod(name, place) => {
                let parameters = ListParams::default().labels(&format!("{APP}={name}"));
                let pods = self.api::<Pod>().list(&parameters).await?.items;
                match pods.get(place % pods.len().max(1)) {
                    Some(pod) => self.delete::<Pod>(&pod.name_any()).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Delete all workloads.
    pub async fn delete_all(&self) -> Result<()> {
        let parameters = DeleteParams::background();
        let all = ListParams::default();
        self.api::<Deployment>().delete_collection(&parameters, &all).await?;
        self.api::<StatefulSet>().delete_collection(&parameters, &all).await?;
        self.api::<Job>().delete_collection(&parameters, &all).await?;
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), WORKLOADS)
    }

    async fn create<K>(&self, object: &Value) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let object: K = serde_json::from_value(object.clone())?;
        done_already(self.api::<K>().create(&PostParams::default(), &object), 409).await
    }

    async fn scale<K>(&self, name: &Name, replicas: usize) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        self.api::<K>()
            .patch(&name.to_string(), &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    async fn delete<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..Default::default()
        };
        done_already(self.api::<K>().delete(name, &parameters), 404).await
    }
}

/// The answer to an earlier try may have been lost.
async fn done_already<T>(request: impl Future<Output = kube::Result<T>>, code: u16) -> Result<()> {
    match request.await {
        Err(kube::Error::Api(status)) if status.code == code => Ok(()),
        result => Ok(result.map(drop)?),
    }
}

fn template(name: Name) -> Value {
    let toleration = |key: &str| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS });
    json!({
        "metadata": { "labels": { APP: name.to_string() }, "annotations": { names::ELECT: "" } },
        "spec": {
            "tolerations": [toleration(names::NOT_READY), toleration(names::UNREACHABLE)],
            "containers": [{
                "name": "main", "image": "none",
                "resources": { "requests": { "cpu": "10m", "memory": "10Mi" } },
            }],
        },
    })
}

fn deployment(name: Name, replicas: usize) -> Value {
    json!({
        "metadata": { "name": name.to_string() },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { APP: name.to_string() } },
            "template": template(name),
        },
    })
}

fn stateful_set(name: Name, replicas: usize) -> Value {
    let mut set = deployment(name, replicas);
    set["spec"]["serviceName"] = json!(name.to_string());
    // Both ways of going on.
    set["spec"]["podManagementPolicy"] = json!(if name.index == 0 { "Parallel" } else { "OrderedReady" });
    set
}

fn job(name: Name, completions: usize) -> Value {
    let mut template = template(name);
    template["metadata"]["annotations"][ENDS] = json!("true");
    template["spec"]["restartPolicy"] = json!("Never");
    json!({
        "metadata": { "name": name.to_string() },
        "spec": {
            "completions": completions,
            "parallelism": completions,
            "backoffLimit": 1000,
            // Evictions are not the pods' fault, and lead to no pause.
            "podFailurePolicy": { "rules": [{
                "action": "Ignore",
                "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }],
            }] },
            "template": template,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_and_changes_fit_one_another() {
        let (mut one, mut same) = (Plan::new(3), Plan::new(3));
        let mut alive: BTreeMap<Name, usize> = BTreeMap::new();
        let mut seen = [0; 4];
        for _ in 0..500 {
            let (gap, change) = one.next();
            assert_eq!((gap, change.clone()), same.next());
            assert!(gap <= Duration::from_secs(3));
            match change {
                Change::Create(name, count) => {
                    seen[0] += 1;
                    assert_eq!(alive.insert(name, count), None);
                }
                Change::Scale(name, count) => {
                    seen[1] += 1;
                    assert_ne!(alive.insert(name, count), None);
                }
                Change::Delete(name) => {
                    seen[2] += 1;
                    assert!(alive.remove(&name).is_some());
                }
                Change::DeletePod(name, _) => {
                    seen[3] += 1;
                    assert!(alive.contains_key(&name));
                }
            }
        }
        assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
        assert_ne!(Plan::new(4).next(), Plan::new(3).next());
    }

    #[test]
    fn kinds_are_known_by_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(&Name { kind, index: 7 }.to_string()), Some(kind));
        }
        assert_eq!(Kind::of("web"), None);
    }
}
