//! Kubernetes Events about TrustedIdentityProviders, sent beside the work.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use multicluster_api::{TrustedIdentityProvider, names};
use multicluster_trust::ProviderRef;

/// Longest note of an event, in characters; the API server takes 1024 bytes.
const MAX_NOTE: usize = 900;

/// Something that people should know.
pub trait Events: Send + Sync + 'static {
    /// About this TrustedIdentityProvider.
    fn warn(&self, provider: &ProviderRef, reason: &'static str, action: &'static str, note: String);
}

/// Events in the cluster.
pub struct Recorded(Recorder);

impl Recorded {
    /// Events for the cluster of this client.
    pub fn new(client: Client) -> Self {
        Self(Recorder::new(
            client,
            Reporter {
                controller: names::AUTHPROXY.into(),
                instance: None,
            },
        ))
    }
}

impl Events for Recorded {
    fn warn(&self, provider: &ProviderRef, reason: &'static str, action: &'static str, note: String) {
        let object = ObjectReference {
            api_version: Some(TrustedIdentityProvider::api_version(&()).into_owned()),
            kind: Some(TrustedIdentityProvider::kind(&()).into_owned()),
            namespace: Some(provider.namespace.clone()),
            name: Some(provider.name.clone()),
            uid: Some(provider.uid.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
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
