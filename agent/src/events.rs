//! Kubernetes Events, sent beside the work: an event that cannot be written holds nothing up.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Name under which this component reports.
const CONTROLLER: &str = "multicluster-agent";
/// Longest note of an event.
const MAX_NOTE: usize = 1024;

/// Sends events to one cluster.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// Events for the cluster of this client.
    pub fn new(client: Client) -> Self {
        Self(Recorder::new(
            client,
            Reporter {
                controller: CONTROLLER.into(),
                instance: None,
            },
        ))
    }

    /// Something a person may want to know.
    pub fn normal(&self, object: ObjectReference, reason: &'static str, action: &'static str, note: String) {
        self.send(EventType::Normal, object, reason, action, note);
    }

    /// Something a person may have to mend.
    pub fn warning(&self, object: ObjectReference, reason: &'static str, action: &'static str, note: String) {
        self.send(EventType::Warning, object, reason, action, note);
    }

    fn send(&self, type_: EventType, object: ObjectReference, reason: &str, action: &str, note: String) {
        let event = Event {
            type_,
            reason: reason.into(),
            note: Some(note.chars().take(MAX_NOTE).collect()),
            action: action.into(),
            secondary: None,
        };
        let recorder = self.0.clone();
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &object).await {
                tracing::debug!(%error, reason = event.reason, "event");
            }
        });
    }
}
