//! Pods on a virtual node that are no proxy pods: what a kubelet would do about pods that it cannot run.
//!
//! Such a pod names the node itself, or came by a scheduler that asks no extender. No webhook has made a proxy pod of it,
//! so it has no way into the target. It is refused as a kubelet refuses a pod, by its status; and when it is deleted,
//! somebody has to say that it has ended, or it would stay for ever.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::watcher::Config;
use kube::{Api, Resource, ResourceExt};
use multicluster_api::names;
use multicluster_api::view::PodView;
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::api_error;
use crate::changes::{Change, Key, changes, key_of};
use crate::home::Home;
use crate::queue::{Outcome, Queue};

/// Strays of one node that are worked on at a time.
const CONCURRENCY: usize = 4;
/// How long the second pod of a controller waits for its refusal. The pause doubles with each further one, because each
/// refusal brings the next pod.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Most controllers whose pauses are remembered.
const MOST_CONTROLLERS: usize = 1000;
/// Reason of the status, and of the event.
const REASON: &str = "NotElected";
/// Annotation of mirror pods, which a kubelet makes for what its files say.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What to do about a pod on a virtual node that is no proxy pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// It has been told, or it has ended.
    Nothing,
    /// Say so in an event, and let it be: its controller would make another one for this very node, for ever.
    Tell,
    /// Its phase becomes Failed, and its controller may make one that goes elsewhere.
    Fail,
    /// It is deleted, and nothing of it runs: let it go now.
    Finish,
}

fn decide(pod: &PodView) -> Action {
    let deleting = pod.metadata.deletion_timestamp.is_some();
    // When the grace period is over, what still holds the pod are finalizers of others.
    let finished = pod.metadata.deletion_grace_period_seconds == Some(0);
    let ended = matches!(pod.status.phase.as_deref(), Some("Failed" | "Succeeded"));
    match (deleting, ended || belongs_to_the_node(pod)) {
        (true, true) if finished => Action::Nothing,
        (true, true) => Action::Finish,
        (false, true) if ended => Action::Nothing,
        (false, true) => Action::Tell,
        // Also when it is being deleted: a Job counts a pod only once it has ended.
        (_, false) => Action::Fail,
    }
}

/// A DaemonSet's pod, or a mirror pod: it can go to no other node.
fn belongs_to_the_node(pod: &PodView) -> bool {
    let daemon = controller(pod).is_some_and(|(kind, _)| kind == "DaemonSet");
    daemon || pod.annotations().contains_key(MIRROR)
}

/// Kind and UID of the pod's controller.
fn controller(pod: &PodView) -> Option<(&str, &str)> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    controllers.next().map(|owner| (&*owner.kind, &*owner.uid))
}

/// Who makes pod after pod for this node waits longer and longer. Pure; time is given by the caller.
#[derive(Debug, Default)]
struct Pauses(HashMap<String, (Instant, Duration)>);

impl Pauses {
    /// May a pod of this controller be refused now? If not, how long it has to wait.
    fn pass(&mut self, controller: &str, now: Instant) -> Result<(), Duration> {
        if let Some((due, pause)) = self.0.get_mut(controller) {
            if now < *due {
                return Err(*due - now);
            }
            // After a quiet time it begins anew.
            let quiet = now > *due + LONGEST_PAUSE;
            *pause = if quiet {
                FIRST_PAUSE
            } else {
                (*pause * 2).min(LONGEST_PAUSE)
            };
            *due = now + *pause;
            return Ok(());
        }
        if self.0.len() >= MOST_CONTROLLERS {
            self.0.retain(|_, (due, _)| now < *due + LONGEST_PAUSE);
        }
        if self.0.len() < MOST_CONTROLLERS {
            self.0.insert(controller.to_owned(), (now + FIRST_PAUSE, FIRST_PAUSE));
        }
        Ok(())
    }
}

/// The strays of one virtual node.
#[derive(Default)]
pub struct Strays {
    pods: Mutex<HashMap<Key, PodView>>,
    queue: Queue<Key>,
    pauses: Mutex<Pauses>,
    /// UIDs of pods that were told.
    told: Mutex<HashSet<String>>,
}

impl Strays {
    /// See to the strays of this node until `stop`.
    pub async fn run(self: Arc<Self>, home: Arc<Home>, node: &str, stop: CancellationToken) {
        let (this, shared, name) = (self.clone(), home.clone(), Arc::<str>::from(node));
        let work = move |key: Key| {
            let (this, home, node) = (this.clone(), shared.clone(), name.clone());
            async move { this.reconcile(&home, &node, key).await }
        };
        tokio::select! {
            () = self.watch(&home, node) => {}
            () = self.queue.run(CONCURRENCY, stop, work) => {}
        }
    }

    /// As a kubelet watches its pods: the API server finds them by their node's name.
    async fn watch(&self, home: &Home, node: &str) {
        self.pods.lock().clear();
        let here = Config::default()
            .fields(&format!("spec.nodeName={node}"))
            .labels(&format!("!{}", names::HAS_FINALIZER));
        let api = Api::<PodView>::all(home.client.clone());
        let mut changes = std::pin::pin!(changes(("pods", node).into(), api, here));
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(pod) => {
                    let key = key_of(&pod);
                    self.pods.lock().insert(key.clone(), pod);
                    self.queue.add(key);
                }
                Change::Gone(key) => {
                    let gone = self.pods.lock().remove(&key);
                    gone.and_then(|pod| pod.uid()).map(|uid| self.told.lock().remove(&uid));
                }
                Change::Listed => {}
            }
        }
    }

    async fn reconcile(&self, home: &Home, node: &str, key: Key) -> Outcome {
        let Some(pod) = self.pods.lock().get(&key).cloned() else {
            return Outcome::Done;
        };
        let result = match decide(&pod) {
            Action::Nothing => return Outcome::Done,
            Action::Tell => {
                if self.told.lock().insert(pod.uid().unwrap_or_default()) {
                    tell(home, node, &pod);
                }
                return Outcome::Done;
            }
            Action::Fail => {
                // One that goes has been replaced already.
                if pod.metadata.deletion_timestamp.is_none()
                    && let Some((_, uid)) = controller(&pod)
                    && let Err(wait) = self.pauses.lock().pass(uid, Instant::now())
                {
                    return Outcome::Again(wait);
                }
                tell(home, node, &pod);
                fail(home, node, &pod).await
            }
            Action::Finish => finish(home, &pod).await,
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(error) => {
                tracing::warn!(node, namespace = key.0, pod = key.1, %error, "refusing a pod");
                Outcome::Retry
            }
        }
    }
}

fn explain(node: &str) -> String {
    format!(
        "{node} is a virtual node, and takes only pods that the multicluster webhook has admitted: annotate the pod with {}, \
         in a namespace labelled {}={}, and leave spec.nodeName out; or keep the pod off nodes with label {}={}",
        names::ELECT,
        names::NAMESPACE_LABEL,
        names::NAMESPACE_LABEL_ENABLED,
        names::PROVIDER,
        names::PROVIDER_VALUE,
    )
}

fn tell(home: &Home, node: &str, pod: &PodView) {
    home.events
        .warning(pod.object_ref(&()), REASON, "Refuse", explain(node));
}

async fn fail(home: &Home, node: &str, pod: &PodView) -> Result<(), kube::Error> {
    let pods = Api::<PodView>::namespaced(home.client.clone(), &pod.namespace().unwrap_or_default());
    let status = json!({ "phase": "Failed", "reason": REASON, "message": explain(node) });
    let patch = Patch::Merge(json!({ "metadata": { "uid": pod.metadata.uid }, "status": status }));
    let written = pods
        .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
        .await;
    api_error::ignore_gone(written)
}

async fn finish(home: &Home, pod: &PodView) -> Result<(), kube::Error> {
    let pods = Api::<Pod>::namespaced(home.client.clone(), &pod.namespace().unwrap_or_default());
    let preconditions = Preconditions {
        uid: pod.uid(),
        ..Default::default()
    };
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(preconditions),
        ..Default::default()
    };
    api_error::ignore_gone(pods.delete(&pod.name_any(), &now).await)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn pod(metadata: Value, phase: &str) -> PodView {
        serde_json::from_value(json!({
            "metadata": metadata, "spec": { "nodeName": "admiralty-eu" }, "status": { "phase": phase },
        }))
        .unwrap()
    }

    fn owned_by(kind: &str) -> Value {
        json!([{ "apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "u", "controller": true }])
    }

    #[test]
    fn every_case() {
        let going = "2030-01-01T00:00:00Z";
        for (case, metadata, phase, expected) in [
            ("bare", json!({}), "Pending", Action::Fail),
            (
                "of a ReplicaSet",
                json!({"ownerReferences": owned_by("ReplicaSet")}),
                "Pending",
                Action::Fail,
            ),
            ("says that it runs", json!({}), "Running", Action::Fail),
            ("failed", json!({}), "Failed", Action::Nothing),
            ("succeeded", json!({}), "Succeeded", Action::Nothing),
            (
                "of a DaemonSet",
                json!({"ownerReferences": owned_by("DaemonSet")}),
                "Pending",
                Action::Tell,
            ),
            ("mirror", json!({"annotations": {MIRROR: "x"}}), "Pending", Action::Tell),
            (
                "going",
                json!({"deletionTimestamp": going, "deletionGracePeriodSeconds": 30}),
                "Pending",
                Action::Fail,
            ),
            (
                "going and failed",
                json!({"deletionTimestamp": going, "deletionGracePeriodSeconds": 30}),
                "Failed",
                Action::Finish,
            ),
            (
                "of a DaemonSet and going",
                json!({"ownerReferences": owned_by("DaemonSet"), "deletionTimestamp": going,
                       "deletionGracePeriodSeconds": 30}),
                "Pending",
                Action::Finish,
            ),
            (
                "held by a finalizer of others",
                json!({"deletionTimestamp": going, "deletionGracePeriodSeconds": 0}),
                "Failed",
                Action::Nothing,
            ),
        ] {
            assert_eq!(decide(&pod(metadata, phase)), expected, "{case}");
        }
    }

    #[test]
    fn a_controller_that_tries_for_ever_is_slowed_down() {
        let (mut pauses, start) = (Pauses::default(), Instant::now());
        let (mut now, mut refused) = (start, 0);
        while now < start + Duration::from_secs(3600) {
            match pauses.pass("u", now) {
                Ok(()) => refused += 1,
                Err(wait) => now += wait,
            }
        }
        assert!((15..25).contains(&refused), "{refused} in an hour");
        assert_eq!(pauses.pass("other", start), Ok(()));
        let quiet = now + LONGEST_PAUSE * 3;
        assert_eq!(pauses.pass("u", quiet), Ok(()));
        assert_eq!(pauses.pass("u", quiet), Err(FIRST_PAUSE), "it began anew");
    }

    #[test]
    fn few_controllers_are_remembered() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        for number in 0..MOST_CONTROLLERS * 2 {
            assert_eq!(pauses.pass(&number.to_string(), now), Ok(()));
        }
        assert_eq!(pauses.0.len(), MOST_CONTROLLERS);
        assert_eq!(pauses.pass("late", now + LONGEST_PAUSE * 2), Ok(()));
        assert_eq!(pauses.0.len(), 1);
    }
}
