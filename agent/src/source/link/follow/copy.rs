//! One object's copy in this target: compare, and write what differs.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::act::Trouble;
use super::{LATER, Link};
use crate::changes::Bar;
use crate::metrics::CopyRefusedLabels;
use crate::queue::Outcome;
use crate::source::following::copy::{Context, Copy};
use crate::source::following::facts::Labels;
use crate::source::following::listing::Listing;
use crate::source::following::object::{Kind, ObjectKey};
use crate::source::following::originals::Version;
use crate::source::following::plan::plan;
use crate::source::following::progress::{Done, Settled, Standing, grace};
use crate::source::following::refusal::{self, Refusal, forbidden, undefined};
use crate::source::following::watch::{name, reference};
use crate::source::link::call::call;

/// What was refused is tried again after this time: what was in its way may be gone.
const TRY_AGAIN: Duration = Duration::from_secs(15);

impl Link {
    pub(super) async fn reconcile_copy(&self, client: &Client, key: ObjectKey) -> Outcome {
        let (following, follower) = (&self.home.following, &self.follower);
        if !follower.is_usable() || follower.facts().own {
            return LATER;
        }
        // Another target leads to the same cluster, and writes there.
        if !following
            .writer(follower, &key)
            .is_some_and(|writer| Arc::ptr_eq(&writer, follower))
        {
            return LATER;
        }
        if follower.copies.listing(key.kind) == Listing::Pending {
            return LATER;
        }
        let result = match following.is_needed(follower, &key) {
            true => {
                follower.note(&key, |progress| progress.unneeded = None);
                self.deliver(client, &key).await
            }
            false => self.withdraw_unneeded(client, &key).await,
        };
        match result {
            Ok(outcome) => outcome,
            Err(Trouble::Refused(refusal)) => self.refuse(&key, refusal),
            Err(Trouble::Failed(message)) => self.fail(&key, &message),
        }
    }

    /// The object is needed there.
    async fn deliver(&self, client: &Client, key: &ObjectKey) -> Result<Outcome, Trouble> {
        let (following, follower) = (&self.home.following, &self.follower);
        let Some(version) = following.originals.version(key) else {
            if following.originals.listing(key.kind).is_complete() {
                // Whoever deletes an object and makes it anew means it.
                return self.withdraw_copy(client, key).await;
            }
            return Ok(LATER);
        };
        let selector = match key.kind {
            Kind::Service => match following.selector(key) {
                Some(Ok(selector)) => Some(selector),
                // It was told of already, and what is there may still serve.
                Some(Err(_)) | None => return Ok(Outcome::Done),
            },
            _ => None,
        };
        match follower.copies.listing(key.kind) {
            Listing::Barred(Bar::Missing) => return Err(undefined(key.kind, &self.target_name()).into()),
            Listing::Barred(Bar::Denied) => return Err(forbidden(key.kind, &self.target_name(), "").into()),
            Listing::Pending | Listing::Listed => {}
        }
        if follower.standing(key, &version, selector.as_ref()) == Standing::InStep {
            return Ok(self.in_step(key));
        }
        let mut held = follower.copies.get(key);
        let mut changed_there = false;
        if let (Some(held), Some(Settled::Done(done))) = (&mut held, follower.progress(key).settled)
            && held.uid == done.uid
            && held.fingerprint != done.fingerprint
        {
            let pause = follower.progress(key).pause(Instant::now());
            if !pause.is_zero() {
                return Ok(Outcome::Again(pause));
            }
            (held.digest, changed_there) = (None, true);
        }
        let (object, version) = self.read(key, &version).await?;
        let copy = match self.copy_of(key, &object, selector.as_deref()) {
            Ok(copy) => copy,
            // Nobody waits for it: the target may have one of its own, and if not, its kubelet says so.
            Err(left_out) => {
                // It may have followed before.
                self.take_step(client, key, plan(None, held.as_ref()), held.as_ref())
                    .await?;
                let before = follower.note(key, |progress| progress.settled.replace(Settled::LeftOut(version)));
                if !left_out.quiet && !matches!(before, Some(Settled::LeftOut(_))) {
                    self.tell(key, left_out.reason, left_out.message);
                }
                return Ok(self.in_step(key));
            }
        };
        let step = plan(Some(&copy), held.as_ref());
        let done = match self.take_step(client, key, step, held.as_ref()).await? {
            Some(held) => held,
            None => return Ok(Outcome::Done),
        };
        follower.note(key, |progress| {
            if changed_there {
                progress.put_back(Instant::now());
            }
            progress.settled = Some(Settled::Done(Done {
                version,
                selector,
                fingerprint: done.fingerprint,
                uid: done.uid,
            }));
        });
        Ok(self.in_step(key))
    }

    /// The object in the source, and its version.
    async fn read(&self, key: &ObjectKey, version: &Version) -> Result<(Arc<Value>, Version), Trouble> {
        let asked = self.home.following.fetched.get(&self.home.client, key, version.seen);
        let object = match call(asked).await {
            Ok(Some(object)) => object,
            // The watch will say so.
            Ok(None) => return Err(Trouble::Failed("it is gone in the source".into())),
            Err(error) if refusal::is_denied(&error) => {
                let note = format!("not copied: grant the agent here get on {}", name(key.kind));
                let reason = "CopySourceForbidden";
                return Err(Refusal { reason, note }.into());
            }
            Err(error) => return Err(Trouble::Failed(error.to_string())),
        };
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().into();
        let version = Version {
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            seen: version.seen,
        };
        Ok((object, version))
    }

    fn copy_of(
        &self,
        key: &ObjectKey,
        object: &Value,
        selector: Option<&Labels>,
    ) -> Result<Copy, crate::source::following::copy::NotCopied> {
        let user = self.follower.facts().user;
        let context = Context {
            cluster_name: &self.home.cluster_name,
            source_user: user.as_deref(),
            selector,
        };
        Copy::of(key, object, &context)
    }

    /// Nothing needs the object there: when that lasts, its copy goes.
    async fn withdraw_unneeded(&self, client: &Client, key: &ObjectKey) -> Result<Outcome, Trouble> {
        let (following, follower) = (&self.home.following, &self.follower);
        if !follower.copies.get(key).is_some_and(|held| held.ours) {
            follower.forget(key);
            return Ok(Outcome::Done);
        }
        if !following.may_remove_from(follower, key.kind) {
            return Ok(LATER);
        }
        let since = follower.note(key, |progress| *progress.unneeded.get_or_insert_with(Instant::now));
        // Of what is gone in the source nobody needs a copy later.
        let left = match following.originals.version(key) {
            Some(_) => grace(key.kind).saturating_sub(since.elapsed()),
            None => Duration::ZERO,
        };
        match left.is_zero() {
            true => self.withdraw_copy(client, key).await,
            false => Ok(Outcome::Again(left)),
        }
    }

    async fn withdraw_copy(&self, client: &Client, key: &ObjectKey) -> Result<Outcome, Trouble> {
        let held = self.follower.copies.get(key);
        let step = plan(None, held.as_ref());
        self.take_step(client, key, step, held.as_ref()).await?;
        self.follower.forget(key);
        Ok(self.in_step(key))
    }

    fn in_step(&self, key: &ObjectKey) -> Outcome {
        self.follower.note(key, |progress| progress.refused = None);
        self.follower.troubles.over(key);
        self.wake(key);
        Outcome::Done
    }

    /// Tell it once, and try again now and then.
    fn refuse(&self, key: &ObjectKey, refusal: Refusal) -> Outcome {
        let before = self
            .follower
            .note(key, |progress| progress.refused.replace(refusal.clone()));
        if before.is_none_or(|before| before.reason != refusal.reason) {
            let (namespace, object, note) = (&key.namespace, &key.name, &refusal.note);
            tracing::warn!(
                node = self.node,
                kind = name(key.kind),
                namespace,
                name = object,
                note,
                "not copied"
            );
            let labels = CopyRefusedLabels {
                kind: name(key.kind),
                reason: refusal.reason,
            };
            self.home.metrics.copies_refused.get_or_create(&labels).inc();
            self.tell(key, refusal.reason, refusal.note);
        }
        self.wake(key);
        Outcome::Again(TRY_AGAIN)
    }

    fn fail(&self, key: &ObjectKey, message: &str) -> Outcome {
        let (namespace, object) = (&key.namespace, &key.name);
        tracing::warn!(
            node = self.node,
            kind = name(key.kind),
            namespace,
            name = object,
            message,
            "copy"
        );
        if self.follower.troubles.failed(key.clone(), std::time::Instant::now()) {
            let note = format!(
                "cannot be copied to {}; will go on trying: {message}",
                self.target_name()
            );
            self.tell(key, "CopyFailed", note);
        }
        Outcome::Retry
    }

    fn tell(&self, key: &ObjectKey, reason: &'static str, note: String) {
        let uid = self
            .home
            .following
            .originals
            .version(key)
            .map(|version| version.uid.to_string());
        self.home.events.warning(reference(key, uid), reason, "Copy", note);
    }
}
