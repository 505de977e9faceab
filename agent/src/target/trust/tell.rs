//! Writes the condition of a TrustedIdentityProvider, and warns once of one that is not believed.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::TrustedIdentityProvider;
use multicluster_trust::ProviderRef;
use serde_json::json;
use tokio::time::timeout;

use super::verdict::Verdict;
use crate::api_error;
use crate::events::Events;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest part of a message that others have written.
const MAX_QUOTE: usize = 1024;

/// Why a call has failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server says so.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// It says nothing.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Late(#[from] tokio::time::error::Elapsed),
}

impl CallError {
    /// What the API server says, if it has understood and refuses.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Kube(error) => api_error::refusal(error).map(|message| message.chars().take(MAX_QUOTE).collect()),
            Self::Late(_) => None,
        }
    }
}

/// Call, and do not wait for long.
pub async fn call<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    Ok(timeout(TIMEOUT, request).await??)
}

/// Tells users of TrustedIdentityProviders how these are.
#[derive(Clone)]
pub struct Teller {
    client: Client,
    events: Events,
}

impl Teller {
    /// For the cluster of this client.
    pub fn new(client: Client, events: Events) -> Self {
        Self { client, events }
    }

    /// Write the condition. Returns the provider as it is then; `None` when it is gone, or another one by now.
    pub async fn tell(
        &self,
        provider: &ProviderRef,
        verdict: &Verdict,
        condition: Condition,
    ) -> Result<Option<TrustedIdentityProvider>, CallError> {
        let generation = condition.observed_generation;
        let patch = json!({
            "metadata": { "uid": provider.uid },
            "status": { "conditions": [condition], "observedGeneration": generation },
        });
        let api = Api::<TrustedIdentityProvider>::namespaced(self.client.clone(), &provider.namespace);
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        match call(api.patch_status(&provider.name, &params, &patch)).await {
            Ok(object) => {
                if !verdict.is_ready() {
                    let (reason, message) = (verdict.reason, verdict.message.clone());
                    self.events.warning(reference(&object), reason, "Trust", message);
                }
                Ok(Some(object))
            }
            Err(CallError::Kube(error)) if api_error::is_not_found(&error) || api_error::is_conflict(&error) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn reference(object: &TrustedIdentityProvider) -> ObjectReference {
    ObjectReference {
        api_version: Some(TrustedIdentityProvider::api_version(&()).into_owned()),
        kind: Some(TrustedIdentityProvider::kind(&()).into_owned()),
        name: Some(object.name_any()),
        namespace: object.namespace(),
        uid: object.uid(),
        ..Default::default()
    }
}
