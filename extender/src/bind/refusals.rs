//! What follows when a target refuses a delegate: memory, an event, and a second chance later.

use std::sync::Arc;
use std::time::Instant;

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use multicluster_api::TargetRef;
use multicluster_api::raw::RawPod;
use tokio::sync::Semaphore;

use super::Binder;

/// Most events that are being written at a time. More are dropped: they tell the same, and scheduling comes first.
const MOST_EVENTS: usize = 8;

/// Tells of refusals.
#[derive(Clone)]
pub struct Refusals {
    recorder: Recorder,
    slots: Arc<Semaphore>,
}

impl Refusals {
    /// Events go to this cluster.
    pub fn new(source: Client) -> Self {
        let reporter = Reporter {
            controller: "multicluster-extender".into(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(source, reporter),
            slots: Arc::new(Semaphore::new(MOST_EVENTS)),
        }
    }

    /// The pod need not come to this target for a while.
    pub(super) fn remember(&self, binder: &Binder, pod: &RawPod, target: &TargetRef, reason: String) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let failures = binder.index.failures();
        failures.remember(uid, target, reason.clone(), Instant::now());
        self.publish(pod, target, &reason);
        let (index, target, ttl) = (binder.index.clone(), target.clone(), failures.ttl());
        tokio::spawn(async move {
            tokio::time::sleep(ttl).await;
            index.failure_expired(&target);
        });
    }

    fn publish(&self, pod: &RawPod, target: &TargetRef, reason: &str) {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return;
        };
        let event = Event {
            type_: EventType::Warning,
            reason: "DelegateUnschedulable".into(),
            note: Some(format!("{} {target}: {reason}", target.kind())),
            action: "Binding".into(),
            secondary: None,
        };
        let (recorder, pod) = (self.recorder.clone(), pod.object_ref(&()));
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &pod).await {
                tracing::debug!(%error, "event");
            }
            drop(slot);
        });
    }
}
