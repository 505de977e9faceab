//! Brings one cluster's part of an export into step: compares, and writes what differs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use kube::Client;
use kube::api::Preconditions;

use super::clusters::{Cluster, Clusters};
use super::conditions::Progress;
use super::endpoints::Endpoints;
use super::import::import_status;
use super::status;
use super::there::{Item, KINDS, Meddled, There};
use super::wanted::{Exported, groups};
use crate::api_error;
use crate::changes::Key;
use crate::source::following::copy::{Context, Copy};
use crate::source::following::held::Held;
use crate::source::following::object::{Kind, ObjectKey};
use crate::source::following::plan::{Step, plan};
use crate::source::following::raw;
use crate::source::following::refusal::{DEFINITION_MISSING, Failure, Refusal, judge, taken};
use crate::source::link::call::{CallError, call};

/// EndpointSlices that are written at a time.
const CONCURRENCY: usize = 8;
/// Somebody else's objects are not watched: how often to look whether they have gone, or a definition has come.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Why a cluster is not in step.
#[derive(Debug)]
pub enum Unfinished {
    /// Something is on its way out: its end will be seen.
    Waits,
    /// Look again after this time.
    Again(Duration),
    /// It did not work: try again.
    Failed(String),
    /// The cluster does not take it.
    Refused(Refusal),
    /// The cluster does not know what an import is, or not any more: it is no part of the set.
    Undefined,
    /// Somebody else's object has the name of one of ours.
    Taken(ObjectKey),
}

/// One cluster.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// A client for it.
    pub client: &'a Client,
    /// What it is called, for messages.
    pub name: &'a str,
    /// What is there.
    pub there: &'a There,
    /// Whose objects these are.
    pub context: &'a Context<'a>,
}

/// What the source knows at this moment.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// All clusters.
    pub clusters: &'a Clusters,
    /// The one that is brought into step.
    pub here: &'a Cluster,
    /// The Service's endpoints.
    pub endpoints: &'a Endpoints,
}

impl Place<'_> {
    /// Bring an export's import into step.
    pub async fn bring(&self, exported: &Exported<'_>, known: &Known<'_>) -> Result<(), Unfinished> {
        let result = self.try_bring(exported, known).await;
        if let Err(Unfinished::Taken(_)) = result {
            // Without the name there is no import, and what stands behind it serves nobody.
            self.withdraw(exported.key).await?;
        }
        result
    }

    async fn try_bring(&self, exported: &Exported<'_>, known: &Known<'_>) -> Result<(), Unfinished> {
        let import = exported.import(&[], self.context);
        let mut items = self.there.of(exported.key);
        // The name first: who has it decides about all the rest.
        if !items.contains_key(&import.key) {
            self.claim(&import).await?;
        }
        let derived = exported.derived(self.context);
        let derived = self.apply(&derived).await?;
        let import = self.apply(&exported.import(&derived.cluster_ips, self.context)).await?;
        items = self.there.of(exported.key);
        let slices = exported.slices(known.here, known.clusters, known.endpoints, &items, self.context);
        let mut wanted: BTreeSet<_> = slices.iter().map(|slice| slice.key.clone()).collect();
        let applied = slices.iter().map(|slice| async { self.apply(slice).await.map(drop) });
        let applied: Vec<_> = applied.collect();
        stream::iter(applied)
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>()
            .await?;
        wanted.extend([
            exported.import(&[], self.context).key,
            exported.derived(self.context).key,
        ]);
        self.remove(items.iter().filter(|(key, _)| !wanted.contains(*key)))
            .await?;

        let groups = groups(known.here, known.clusters, known.endpoints);
        let ips = &derived.cluster_ips;
        if let Some(status) = import_status(exported.service, ips, &groups, &import.status, Timestamp::now()) {
            let key = ObjectKey::new(Kind::ServiceImport, &exported.key.0, &exported.key.1);
            let written = call(status::write(self.client, &key, &import.held.uid, &status)).await;
            let object = written.map_err(|error| self.failed(&error, &key))?;
            self.there.wrote(Kind::ServiceImport, &object, self.context);
        }
        Ok(())
    }

    /// Take away all that is there for an export: the import first, since others find the rest by it.
    pub async fn withdraw(&self, export: &Key) -> Result<(), Unfinished> {
        let items = self.there.of(export);
        for kind in KINDS {
            self.remove(items.iter().filter(|(key, _)| key.kind == kind)).await?;
        }
        Ok(())
    }

    async fn remove(&self, items: impl Iterator<Item = (&ObjectKey, &Item)>) -> Result<(), Unfinished> {
        let removals: Vec<_> = items
            .map(|(key, item)| async { self.act(key, plan(None, Some(&item.held))).await.map(drop) })
            .collect();
        stream::iter(removals).buffer_unordered(CONCURRENCY).try_collect().await
    }

    /// Make the import, if nobody has made one of its name.
    async fn claim(&self, import: &Copy) -> Result<(), Unfinished> {
        match self.act(&import.key, plan(Some(import), None)).await {
            Err(Unfinished::Taken(key)) => {
                // Perhaps it is ours after all, and its event is still to come.
                let found = call(raw::get(self.client, &key)).await;
                let found = found.map_err(|error| self.failed(&error, &key))?;
                if !Held::of(key.kind, &found, self.context).ours {
                    return Err(Unfinished::Taken(key));
                }
                self.there.put(key.kind, &found, self.context);
                Ok(())
            }
            result => result,
        }
    }

    /// Bring one object into step. Returns it as it is then.
    async fn apply(&self, copy: &Copy) -> Result<Item, Unfinished> {
        let item = self.item(copy);
        let mut held = item.map(|item| item.held);
        if let Some(held) = &mut held {
            match self.there.meddled(&copy.key, held, Instant::now()) {
                Meddled::No => {}
                Meddled::PutBack => held.digest = None,
                Meddled::PutBackAfter(pause) => return Err(Unfinished::Again(pause)),
            }
        }
        self.act(&copy.key, plan(Some(copy), held.as_ref())).await?;
        self.item(copy).ok_or(Unfinished::Waits)
    }

    fn item(&self, copy: &Copy) -> Option<Item> {
        self.there.get(&copy.key)
    }

    async fn act(&self, key: &ObjectKey, step: Step) -> Result<(), Unfinished> {
        let which = |uid: &str, resource_version: Option<String>| Preconditions {
            uid: Some(uid.to_owned()),
            resource_version,
        };
        let mut uid = None;
        let written = match step {
            Step::Nothing => return Ok(()),
            Step::Wait => return Err(Unfinished::Waits),
            Step::Conflict => return Err(Unfinished::Taken(key.clone())),
            Step::Create(object) => call(raw::create(self.client, key, &object)).await,
            Step::Patch { uid: held, operations } => {
                uid = Some(held);
                call(raw::patch(self.client, key, &operations)).await
            }
            Step::Replace { uid } => {
                self.delete(key, which(&uid, None)).await?;
                return Err(Unfinished::Waits);
            }
            Step::Delete { uid, resource_version } => {
                return self.delete(key, which(&uid, Some(resource_version))).await;
            }
        };
        match written {
            Ok(object) => {
                self.there.wrote(key.kind, &object, self.context);
                Ok(())
            }
            Err(error) => match (judge(&error, key, self.name), uid) {
                (Failure::Immutable, Some(uid)) => {
                    self.delete(key, which(&uid, None)).await?;
                    Err(Unfinished::Waits)
                }
                _ => Err(self.failed(&error, key)),
            },
        }
    }

    async fn delete(&self, key: &ObjectKey, which: Preconditions) -> Result<(), Unfinished> {
        match call(raw::delete(self.client, key, which)).await {
            Err(CallError::Kube(error)) if api_error::is_object_not_found(&error) => Ok(()),
            Err(error) => Err(self.failed(&error, key)),
            Ok(()) => Ok(()),
        }
    }

    fn failed(&self, error: &CallError, key: &ObjectKey) -> Unfinished {
        match judge(error, key, self.name) {
            Failure::Refused(refusal) if refusal.reason == DEFINITION_MISSING => Unfinished::Undefined,
            Failure::Refused(refusal) => Unfinished::Refused(refusal),
            Failure::Taken => Unfinished::Taken(key.clone()),
            Failure::Again(why) => Unfinished::Failed(why),
            Failure::Immutable => Unfinished::Failed(error.to_string()),
        }
    }
}

impl Unfinished {
    /// What the export says about it, and what its events do.
    pub fn progress(&self, name: &str) -> (Option<Progress>, Option<Refusal>) {
        match self {
            Self::Undefined => (None, None),
            Self::Waits | Self::Again(_) | Self::Failed(_) => (Some(Progress::Pending), None),
            Self::Refused(refusal) => (Some(Progress::Refused(refusal.note.clone())), Some(refusal.clone())),
            Self::Taken(key) => {
                let what = format!("{} {}/{}", key.kind.resource().kind, key.namespace, key.name);
                let refusal = Refusal {
                    note: format!(
                        "not imported by {name}: {what} is there, made by somebody else, and is left alone; rename or \
                         delete one of them"
                    ),
                    ..taken(key, name)
                };
                let progress = Progress::Taken(format!("{what} was made there by somebody else"));
                (Some(progress), Some(refusal))
            }
        }
    }

    /// When to look again; `None` after a pause that grows.
    pub fn again(&self) -> Option<Duration> {
        match self {
            Self::Waits => None,
            Self::Again(pause) => Some(*pause),
            Self::Failed(_) | Self::Refused(_) => None,
            Self::Taken(_) | Self::Undefined => Some(LOOK_AGAIN),
        }
    }
}
