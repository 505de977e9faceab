//! A delegate waits in its target until the ConfigMaps and Secrets that its pod uses are there: its chaperon says so. When
//! they are, the mark is taken off; when one cannot be delivered, the chaperon says that instead, and the extender tries
//! another target.

use std::time::Instant;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use multicluster_api::names;
use multicluster_api::references::References;
use multicluster_api::view::ChaperonView;
use serde_json::{Value, json};

use super::{LATER, Link};
use crate::api_error;
use crate::queue::Outcome;
use crate::source::chaperons::RemoteChaperon;
use crate::source::following::object::{Kind, ObjectKey};
use crate::source::following::progress::Standing;
use crate::source::following::refusal::{self, Refusal};
use crate::source::link::call::{CallError, call};
use crate::source::proxy_pods::ProxyPod;

/// Longest reason on a chaperon, in characters.
const LONGEST_REASON: usize = 512;

/// May the delegate start?
#[derive(Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
    Refused(Refusal),
}

impl Link {
    /// Look at the gate of this pod again when the copy changes.
    pub(super) fn wake(&self, key: &ObjectKey) {
        for mate in self.home.following.followers.mates(&self.follower) {
            mate.wake(key);
        }
    }

    pub(super) async fn reconcile_gate(&self, client: &Client, uid: String) -> Outcome {
        if !self.follower.is_usable() {
            return LATER;
        }
        // When the pod or its chaperon comes, the gate is looked at.
        let Some(pod) = self.home.pods.get(&uid) else {
            return Outcome::Done;
        };
        let chaperon = self.chaperons.get(&uid, &pod.namespace);
        let Some(chaperon) = chaperon.filter(|chaperon| chaperon.awaits_files && !chaperon.deleting) else {
            self.follower.wait_no_more(&uid);
            return Outcome::Done;
        };
        let Some(references) = self.home.following.references(&uid) else {
            return Outcome::Done;
        };
        let result = match self.gate(&pod, &references).await {
            Ok(Gate::Closed) => return Outcome::Done,
            Ok(Gate::Open) => self.mark(client, &chaperon, json!({ names::AWAITS_FILES: null })).await,
            Ok(Gate::Refused(refusal)) => {
                let reason = format!("{}: {}", refusal.reason, refusal.note);
                let reason: String = reason.chars().take(LONGEST_REASON).collect();
                self.mark(client, &chaperon, json!({ names::FILES_REFUSED: reason }))
                    .await
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                self.follower.wait_no_more(&uid);
                Outcome::Done
            }
            Err(error) => {
                tracing::warn!(node = self.node, pod = uid, %error, "letting a delegate start");
                Outcome::Retry
            }
        }
    }

    async fn gate(&self, pod: &ProxyPod, references: &References) -> Result<Gate, CallError> {
        if self.follower.facts().own {
            return Ok(Gate::Open);
        }
        let key = |kind, name: &String| ObjectKey::new(kind, &pod.namespace, name);
        let config_maps = references.config_maps.keys().map(|name| key(Kind::ConfigMap, name));
        let secrets = references.secrets.keys().map(|name| key(Kind::Secret, name));
        let files: Vec<_> = config_maps.chain(secrets).collect();
        // Before they are looked at, so that none is missed that comes meanwhile.
        let since = self.follower.wait(&pod.uid, &files);
        let mut gate = Gate::Open;
        for file in &files {
            match self.file(file, since).await? {
                Standing::InStep => {}
                Standing::Pending => gate = Gate::Closed,
                Standing::Refused(refusal) => return Ok(Gate::Refused(refusal)),
            }
        }
        Ok(gate)
    }

    /// How far a file is that a pod uses which was there at `since`.
    async fn file(&self, key: &ObjectKey, since: Instant) -> Result<Standing, CallError> {
        let following = &self.home.following;
        let Some(version) = following.originals.version(key) else {
            // The watch of files may lag behind that of pods.
            let found = call(following.fetched.get(&self.home.client, key, since)).await;
            return match found {
                // The kubelet deals with it, as in every cluster.
                Ok(None) => Ok(Standing::InStep),
                Ok(Some(_)) => Ok(Standing::Pending),
                Err(error) if refusal::is_denied(&error) => {
                    let (kind, name) = (key.kind.resource().kind, &key.name);
                    Ok(Standing::Refused(Refusal {
                        reason: "CopySourceForbidden",
                        note: format!("the source's agent may not read {kind} {name}"),
                    }))
                }
                Err(error) => Err(error),
            };
        };
        let Some(writer) = following.writer(&self.follower, key) else {
            return Ok(Standing::Pending);
        };
        let standing = writer.standing(key, &version, None);
        if standing == Standing::Pending {
            writer.add(key.clone());
        }
        Ok(standing)
    }

    async fn mark(&self, client: &Client, chaperon: &RemoteChaperon, annotations: Value) -> Result<(), CallError> {
        let api = Api::<ChaperonView>::namespaced(client.clone(), &chaperon.key.0);
        let patch = Patch::Merge(json!({ "metadata": { "uid": chaperon.uid, "annotations": annotations } }));
        let params = PatchParams::default();
        match call(api.patch(&chaperon.key.1, &params, &patch)).await {
            Ok(marked) => {
                // The watch will bring it again.
                self.chaperons.put(&marked, &self.node);
                Ok(())
            }
            Err(CallError::Kube(error)) => Ok(api_error::ignore_gone(Err::<(), _>(error))?),
            Err(error) => Err(error),
        }
    }
}
