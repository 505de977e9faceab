//! Writes one object's copy in this target.

use kube::Client;
use kube::api::Preconditions;
use multicluster_api::names;
use serde_json::Value;

use super::Link;
use crate::api_error;
use crate::metrics::CopyLabels;
use crate::source::following::held::Held;
use crate::source::following::object::{Kind, ObjectKey};
use crate::source::following::plan::Step;
use crate::source::following::raw;
use crate::source::following::refusal::{Failure, Refusal, judge, taken};
use crate::source::following::watch::name;
use crate::source::link::call::{CallError, call};

/// Why a copy is not as it should be.
pub(super) enum Trouble {
    /// It cannot be, until something changes.
    Refused(Refusal),
    /// It will be tried again.
    Failed(String),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Link {
    /// Carry a step out. Returns the copy if it is in step then.
    pub(super) async fn take_step(
        &self,
        client: &Client,
        key: &ObjectKey,
        step: Step,
        held: Option<&Held>,
    ) -> Result<Option<Held>, Trouble> {
        let written = match step {
            Step::Nothing => return Ok(held.cloned()),
            // It is looked at when it is gone.
            Step::Wait => return Ok(None),
            Step::Conflict => return Err(taken(key, &self.target_name()).into()),
            Step::Create(object) => {
                let created = call(raw::create(client, key, &object)).await;
                self.count(key.kind, "create", &created);
                created
            }
            Step::Patch { operations, .. } => {
                let patched = call(raw::patch(client, key, &operations)).await;
                self.count(key.kind, "update", &patched);
                patched
            }
            Step::Replace { uid } => return self.delete_copy(client, key, Some(uid), None).await.map(|()| None),
            Step::Delete { uid, resource_version } => {
                let deleted = self.delete_copy(client, key, Some(uid), Some(resource_version));
                return deleted.await.map(|()| None);
            }
        };
        let error = match written {
            Ok(object) => return Ok(Some(self.put_copy(key.clone(), &object))),
            Err(error) => error,
        };
        match judge(&error, key, &self.target_name()) {
            Failure::Refused(refusal) => Err(refusal.into()),
            Failure::Again(message) => Err(Trouble::Failed(message)),
            Failure::Taken => Err(self.who_has(client, key).await),
            Failure::Immutable => match held {
                Some(held) => {
                    let deleted = self.delete_copy(client, key, Some(held.uid.clone()), None);
                    deleted.await.map(|()| None)
                }
                None => Err(Trouble::Failed(error.to_string())),
            },
        }
    }

    /// An object of the name is there, and the watch has not shown it as ours: it may be about to.
    async fn who_has(&self, client: &Client, key: &ObjectKey) -> Trouble {
        match call(raw::get(client, key)).await {
            Ok(object) if self.says_ours(&object) => {
                let held = self.put_copy(key.clone(), &object);
                match held.ours {
                    true => Trouble::Failed("the target has it already".into()),
                    false => taken(key, &self.target_name()).into(),
                }
            }
            Ok(_) => taken(key, &self.target_name()).into(),
            Err(error) => Trouble::Failed(error.to_string()),
        }
    }

    /// Would the watch of our copies show it?
    fn says_ours(&self, object: &Value) -> bool {
        let label = &object["metadata"]["labels"][names::PARENT_CLUSTER_NAME];
        label.as_str() == Some(self.home.cluster_name.as_str())
    }

    async fn delete_copy(
        &self,
        client: &Client,
        key: &ObjectKey,
        uid: Option<String>,
        resource_version: Option<String>,
    ) -> Result<(), Trouble> {
        let which = Preconditions { uid, resource_version };
        let deleted = call(raw::delete(client, key, which)).await;
        self.count(key.kind, "delete", &deleted);
        match deleted {
            Ok(()) => Ok(()),
            Err(CallError::Kube(error)) if api_error::is_not_found(&error) => Ok(()),
            Err(error) => match judge(&error, key, &self.target_name()) {
                Failure::Refused(refusal) => Err(refusal.into()),
                _ => Err(Trouble::Failed(error.to_string())),
            },
        }
    }

    fn count<T>(&self, kind: Kind, verb: &'static str, written: &Result<T, CallError>) {
        if written.is_ok() {
            let kind = name(kind);
            self.home
                .metrics
                .copies_written
                .get_or_create(&CopyLabels { kind, verb })
                .inc();
        }
    }
}
