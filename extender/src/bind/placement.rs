//! The way of one proxy pod into one target.

use std::time::Instant;

use multicluster_api::TargetRef;
use multicluster_api::chaperon::chaperon_name;
use multicluster_api::raw::RawPod;

use super::chaperons::{Chaperons, Created};
use super::source::Bound;
use super::{BindError, BindRequest, Binder, Outcome};
use crate::core::attempt::{Attempt, Progress, short};
use crate::core::delegate;
use crate::core::pod::{Wanted, attempted_in};
use crate::index::{Index, News, Place, Whereabouts};

/// One proxy pod and the target it is to go to.
pub(super) struct Placement<'a> {
    pub binder: &'a Binder,
    pub request: &'a BindRequest,
    pub pod: &'a RawPod,
    pub wanted: Wanted,
    pub unique: bool,
    pub place: Place,
    pub news: News,
    pub deadline: Instant,
}

impl Placement<'_> {
    pub(super) async fn run(&self) -> Outcome {
        self.leave_others().await?;
        self.start().await?;
        match self.wait().await {
            Ok(()) => self.finish().await,
            Err(BindError::Unschedulable { reason, .. }) => Err(self.give_up(reason).await),
            Err(BindError::DelegateGone(target)) => {
                self.index().forget(&target, self.uid());
                Err(BindError::DelegateGone(target))
            }
            Err(error) => Err(error),
        }
    }

    fn index(&self) -> &Index {
        &self.binder.index
    }

    fn uid(&self) -> &str {
        &self.request.uid
    }

    fn target(&self) -> &TargetRef {
        &self.place.target
    }

    fn chaperons(&self) -> Chaperons {
        Chaperons::new(
            self.target().clone(),
            self.place.client.clone(),
            &self.request.namespace,
        )
    }

    /// A pod has one delegate at a time: one that an earlier try left in another target goes first.
    async fn leave_others(&self) -> Outcome {
        if let Some(target) = self.index().unsure_elsewhere(self.target(), self.uid()) {
            return Err(BindError::Held(target.virtual_node().into()));
        }
        for other in self
            .index()
            .attempts_elsewhere(self.target(), self.uid(), &self.request.namespace, Instant::now())
        {
            let Some(client) = other.client.filter(|_| other.heard_of) else {
                match self.unique {
                    true => return Err(BindError::Held(other.target.virtual_node().into())),
                    false => continue,
                }
            };
            if other.attempt.progress != Progress::Deleting {
                let chaperons = Chaperons::new(other.target.clone(), client, &other.attempt.namespace);
                chaperons.delete(&other.attempt.name, &other.attempt.uid).await?;
            }
            self.wait_gone(&other.target, &other.attempt).await?;
            self.index().forget(&other.target, self.uid());
        }
        self.leave_attempted().await
    }

    /// Where a unique pod was tried last it may have a chaperon that no watch has shown us (yet): the target is asked.
    async fn leave_attempted(&self) -> Outcome {
        let Some(node) = attempted_in(&self.pod.metadata).filter(|node| *node != self.place.node) else {
            return Ok(());
        };
        let (target, client) = match self.index().whereabouts(node, Instant::now()) {
            Whereabouts::Nowhere => return Ok(()),
            Whereabouts::Unknown => return Err(BindError::Held(node.to_owned())),
            Whereabouts::Known(target, client) => (target, client),
        };
        let chaperons = Chaperons::new(target.clone(), client, &self.request.namespace);
        let found = chaperons.find(&chaperon_name(&self.request.name, self.uid())).await?;
        let attempt = found.and_then(|found| Attempt::of(&found, &target, Instant::now()));
        match attempt {
            Some((uid, attempt)) if uid == self.uid() => {
                chaperons.delete(&attempt.name, &attempt.uid).await?;
                Err(BindError::StillDeleting(target))
            }
            _ => Ok(()),
        }
    }

    /// Go on with the chaperon that is there, or create one.
    async fn start(&self) -> Outcome {
        if let Some(attempt) = self
            .index()
            .attempt_in(self.target(), self.uid(), &self.request.namespace)
        {
            if attempt.progress != Progress::Deleting {
                return self.assume(true);
            }
            self.wait_gone(self.target(), &attempt).await?;
        }
        self.assume(false)?;
        let mut span = crate::trace::span("create chaperon", &self.pod.metadata, Instant::now());
        let created = self.create().await.inspect_err(|error| span.fail(error));
        drop(span);
        if let Err(error) = &created {
            self.index().forget(self.target(), self.uid());
            self.remember_rejection(error);
            if error.is_unanswered() {
                self.index().suspect(self.target());
                if self.unique {
                    self.index().doubt(self.target(), self.uid());
                }
            }
        }
        created
    }

    fn assume(&self, resumed: bool) -> Outcome {
        let assumed = self.index().assume(self.target(), self.uid(), &self.wanted, resumed);
        assumed.map_err(|refusal| self.binder.refused(self.request, refusal))
    }

    async fn create(&self) -> Outcome {
        let chaperon = delegate::chaperon(self.pod, &self.binder.cluster, self.target());
        let mut chaperon = chaperon.map_err(|error| BindError::Invalid(error.into()))?;
        delegate::sign(&mut chaperon, self.place.user.as_deref());
        if !self.place.own_cluster {
            delegate::await_files(&mut chaperon);
        }
        if self.unique {
            // Looked up before the pod is marked: who sees the mark knows that nothing later was promised to the target.
            let heartbeat = self.index().heartbeat(self.target());
            delegate::mark_heard(&mut chaperon, heartbeat);
            self.binder.source.mark_attempt(self.request, self.pod).await?;
        }
        loop {
            let (existing, going) = match self.chaperons().create(&chaperon).await? {
                Created::Exists(existing) => (existing, false),
                Created::Going(going) => (going, true),
            };
            let Some((uid, attempt)) = Attempt::of(&existing, self.target(), Instant::now()) else {
                // It came through another target that leads to the same cluster, and that does not look after it.
                let (name, uid) = (existing.metadata.name.as_deref(), existing.metadata.uid.as_deref());
                self.chaperons()
                    .delete(name.unwrap_or_default(), uid.unwrap_or_default())
                    .await?;
                return Err(BindError::StillDeleting(self.target().clone()));
            };
            self.index().created(self.target(), &uid, attempt.clone());
            if !going {
                return Ok(());
            }
            self.wait_gone(self.target(), &attempt).await?;
            // Its end has also ended our claim.
            self.assume(false)?;
        }
    }

    /// What the target's API server rejects now, it will reject at the next try as well: let others have theirs.
    fn remember_rejection(&self, error: &BindError) {
        if let BindError::Target { target, error } = error
            && let kube::Error::Api(status) = &**error
            && (400..500).contains(&status.code)
            && !matches!(status.code, 401 | 408 | 409 | 429)
        {
            self.index().be_sure(target, self.uid());
            self.binder
                .refusals
                .remember(self.binder, self.pod, target, short(&status.message));
        }
    }

    /// Wait until the target's scheduler has decided, or until our time is over.
    async fn wait(&self) -> Outcome {
        loop {
            let now = Instant::now();
            let target = || self.target().clone();
            let Some(attempt) = self
                .index()
                .attempt_in(self.target(), self.uid(), &self.request.namespace)
            else {
                return Err(BindError::DelegateGone(target()));
            };
            let for_files = attempt.progress == Progress::AwaitsFiles;
            match attempt.progress {
                Progress::Scheduled { .. } => return Ok(()),
                Progress::Refused(reason) => {
                    return Err(BindError::Unschedulable {
                        target: target(),
                        reason,
                    });
                }
                Progress::Deleting => return Err(BindError::DelegateGone(target())),
                Progress::AwaitsFiles | Progress::Waiting => {}
            }
            if !self.index().is_heard_of(self.target(), now) {
                return Err(BindError::Lost(target()));
            }
            let give_up = attempt.since + self.binder.limits.schedule;
            if now >= give_up {
                return Err(BindError::Unschedulable {
                    target: target(),
                    reason: self.too_late(for_files),
                });
            }
            if now >= self.deadline {
                return Err(match for_files {
                    true => BindError::AwaitsFiles(target()),
                    false => BindError::StillWaiting(target()),
                });
            }
            let stale = self.index().stale_at(self.target(), now);
            self.sleep(stale.min(give_up)).await;
        }
    }

    /// Both have the same time, one after the other.
    fn too_late(&self, for_files: bool) -> String {
        let limit = self.binder.limits.schedule;
        match for_files {
            true => format!("its ConfigMaps and Secrets were not there within {limit:?}; does the source's agent run?"),
            false => format!("not scheduled within {limit:?}"),
        }
    }

    async fn wait_gone(&self, target: &TargetRef, old: &Attempt) -> Outcome {
        while self
            .index()
            .attempt_in(target, self.uid(), &self.request.namespace)
            .is_some_and(|attempt| attempt.uid == old.uid)
        {
            if Instant::now() >= self.deadline {
                return Err(BindError::StillDeleting(target.clone()));
            }
            self.sleep(self.deadline).await;
        }
        Ok(())
    }

    /// Sleep until there is news, `until`, or the end of our time.
    async fn sleep(&self, until: Instant) {
        let until = until.min(self.deadline);
        let _ = tokio::time::timeout_at(until.into(), self.news.next()).await;
    }

    async fn finish(&self) -> Outcome {
        match self.binder.source.bind(self.request).await {
            Bound::Yes => Ok(()),
            Bound::Never(error) => {
                self.delete().await;
                Err(error)
            }
            Bound::Unknown(error) => Err(error),
        }
    }

    /// The failure is remembered first: should the deletion be cut off, the next try deals with what is left.
    async fn give_up(&self, reason: String) -> BindError {
        let reason = short(&reason);
        self.binder
            .refusals
            .remember(self.binder, self.pod, self.target(), reason.clone());
        self.delete().await;
        BindError::Unschedulable {
            target: self.target().clone(),
            reason,
        }
    }

    async fn delete(&self) {
        if let Some(attempt) = self
            .index()
            .attempt_in(self.target(), self.uid(), &self.request.namespace)
            && let Err(error) = self.chaperons().delete(&attempt.name, &attempt.uid).await
        {
            tracing::warn!(node = %self.target().virtual_node(), chaperon = %attempt.name, %error, "cannot delete chaperon");
        }
        self.index().forget(self.target(), self.uid());
    }
}
