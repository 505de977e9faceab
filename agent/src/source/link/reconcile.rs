//! Carries out what [`decide`] says about a proxy pod and its chaperon.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, Client};
use multicluster_api::PodChaperon;
use multicluster_api::chaperon::chaperon_name;
use multicluster_api::view::{ChaperonView, PodView};
use multicluster_runtime::trace::Span;
use serde_json::json;

use super::Link;
use super::call::{CallError, call};
use crate::metrics::TargetLabel;
use crate::queue::Outcome;
use crate::source::chaperons::RemoteChaperon;
use crate::source::decide::{Action, Missing, View, decide};
use crate::source::proxy_pods::ProxyPod;
use crate::source::status::{proxy_status, returning_annotations, shows};
use crate::source::target_status::reference;
use crate::{api_error, merge};

/// How long a bound pod's chaperon may stay unseen before the target is asked for it: watches lag.
const UNSEEN_GRACE: Duration = Duration::from_secs(1);

impl Link {
    pub(super) async fn reconcile(&self, client: &Client, uid: String) -> Outcome {
        if !self.home.pods.is_listed() || !self.chaperons.is_listed() {
            return Outcome::Done;
        }
        let pod = self.home.pods.get(&uid);
        let chaperon = match &pod {
            Some(pod) => self.chaperons.get(&uid, &pod.namespace),
            // Whatever says that it belongs to a pod that is gone goes too, one after the other.
            None => self
                .chaperons
                .all_of(&uid)
                .into_iter()
                .min_by_key(|chaperon| chaperon.deleting),
        };
        let seen_going = pod
            .as_ref()
            .is_some_and(|pod| self.chaperons.was_seen_going(&uid, &pod.namespace));
        let view = View {
            node: &self.node,
            pod: pod.as_deref(),
            chaperon: chaperon.as_ref(),
            seen_going,
        };
        if pod.is_none() && chaperon.is_none() {
            self.chaperons.forget(&uid);
        }
        let action = decide(view);
        if !matches!(action, Action::Confirm(_)) {
            self.unseen.lock().remove(&uid);
        }
        let result = match (action, pod, chaperon) {
            (Action::SyncStatus, Some(pod), Some(chaperon)) => self.sync(&pod, &chaperon).await,
            (Action::DeletePod, Some(pod), _) => self.delete_pod(&pod).await,
            (Action::RemoveFinalizer, Some(pod), _) => self.home.remove_finalizer(&pod).await.map_err(Into::into),
            // A target that does not answer is left alone until it does; then all is looked at anew.
            (action, pod, _) if action != Action::Nothing && !self.may_ask() => {
                self.tell_held(pod.as_deref());
                Ok(())
            }
            (Action::Confirm(missing), Some(pod), _) => match self.wait_for_watch(&pod, missing) {
                Some(left) => return Outcome::Again(left),
                None => self.confirm(client, &pod, missing).await,
            },
            (Action::ConfirmOrphan, _, Some(chaperon)) => self.confirm_orphan(client, &uid, &chaperon).await,
            (Action::DeleteChaperon, pod, Some(chaperon)) => {
                self.delete_left_over(client, pod.as_deref(), &chaperon).await
            }
            _ => Ok(()),
        };
        match result {
            Ok(()) => {
                self.troubles.over(&uid);
                Outcome::Done
            }
            Err(error) => {
                tracing::warn!(node = self.node, pod = uid, %error, "proxy pod");
                self.tell_if_lasting(&uid, &error);
                Outcome::Retry
            }
        }
    }

    /// It answers, and it is the cluster that the chaperons are in.
    pub(super) fn may_ask(&self) -> bool {
        self.answers.load(Ordering::SeqCst) && self.settled.load(Ordering::SeqCst)
    }

    /// A pod that is to go, but may still run where nobody answers.
    fn tell_held(&self, pod: Option<&ProxyPod>) {
        let Some(pod) = pod.filter(|pod| pod.deleting && pod.is_held()) else {
            return;
        };
        // It was connected just now: soon it can be asked.
        if self.answers.load(Ordering::SeqCst) {
            return;
        }
        if self.told_held.lock().insert(pod.uid.clone()) {
            let target = self.target.read().target.to_string();
            let note = format!(
                "it may still run in {target}, which is away, and stays until that is known; it goes by itself when \
                 the target is back, or when its Target is deleted"
            );
            self.home
                .events
                .warning(pod.reference(), "WaitingForTarget", "Delete", note);
        }
    }

    fn tell_if_lasting(&self, uid: &str, error: &CallError) {
        if let Some(pod) = self.home.pods.get(uid)
            && self.troubles.failed(uid.to_owned(), Instant::now())
        {
            let target = self.target.read().target.to_string();
            let note = format!("cannot be brought in step with its delegate in {target}; will go on trying: {error}");
            self.home.events.warning(pod.reference(), "SyncFailed", "Sync", note);
        }
    }

    /// How long to wait for the watch before a pod's chaperon is asked for.
    fn wait_for_watch(&self, pod: &ProxyPod, missing: Missing) -> Option<Duration> {
        // The chaperon of a bound pod was there. That of a pod that was tried may be on its way.
        if missing == Missing::RemoveFinalizer && !pod.node_name.is_empty() {
            return None;
        }
        let since = *self.unseen.lock().entry(pod.uid.clone()).or_insert_with(Instant::now);
        UNSEEN_GRACE.checked_sub(since.elapsed())
    }

    async fn confirm(&self, client: &Client, pod: &ProxyPod, missing: Missing) -> Result<(), CallError> {
        let api = Api::<ChaperonView>::namespaced(client.clone(), &pod.namespace);
        let found = match call(api.get(&chaperon_name(&pod.name, &pod.uid))).await {
            Ok(found) => Some(found),
            // Where the very kind is unknown (the agent there was removed), a delegate may still run.
            Err(CallError::Kube(error)) if api_error::is_object_not_found(&error) => None,
            Err(error) => return Err(error),
        };
        if let Some(found) = found {
            // The watch will bring it again; until then this is as good.
            if self.chaperons.put(&found, &self.node).is_some() {
                self.queue.add(pod.uid.clone());
                return Ok(());
            }
        }
        self.unseen.lock().remove(&pod.uid);
        match missing {
            Missing::DeletePod => self.delete_pod(pod).await,
            Missing::RemoveFinalizer => Ok(self.home.remove_finalizer(pod).await?),
        }
    }

    async fn confirm_orphan(&self, client: &Client, uid: &str, chaperon: &RemoteChaperon) -> Result<(), CallError> {
        let pods = Api::<Pod>::namespaced(self.home.client.clone(), &chaperon.key.0);
        let pod = pods.get_opt(&chaperon.parent_name).await?;
        if pod.is_some_and(|pod| pod.metadata.uid.as_deref() == Some(uid)) {
            return Ok(());
        }
        self.delete_left_over(client, None, chaperon).await
    }

    /// Delete a chaperon, and count it if its pod is not here any more: it was deleted, or went elsewhere, while the
    /// target was away.
    async fn delete_left_over(
        &self,
        client: &Client,
        pod: Option<&ProxyPod>,
        chaperon: &RemoteChaperon,
    ) -> Result<(), CallError> {
        self.delete_chaperon(client, chaperon).await?;
        if pod.is_none_or(|pod| !pod.node_name.is_empty() && pod.node_name != self.node) {
            let label = TargetLabel::new(&self.node);
            self.home.metrics.orphans_deleted.get_or_create(&label).inc();
            let (events, target) = (self.home.events.clone(), reference(&self.target.read()));
            self.left_overs.add(move |count| {
                let note =
                    format!("{count} delegate pods were deleted there, whose pods here were gone or ran elsewhere");
                events.normal(target, "LeftOversDeleted", "Delete", note);
            });
        }
        Ok(())
    }

    /// Delete a chaperon; the target's garbage collector takes the delegate with it, and the chaperon goes last.
    pub(super) async fn delete_chaperon(&self, client: &Client, chaperon: &RemoteChaperon) -> Result<(), CallError> {
        let api = Api::<PodChaperon>::namespaced(client.clone(), &chaperon.key.0);
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(Preconditions {
                uid: Some(chaperon.uid.clone()),
                ..Default::default()
            }),
            ..Default::default()
        };
        match call(api.delete(&chaperon.key.1, &parameters)).await {
            Err(CallError::Kube(error)) if api_error::is_denied(&error) => {
                self.tell_forbidden(&error);
                Err(error.into())
            }
            Err(CallError::Kube(error)) => Ok(api_error::ignore_gone(Err::<(), _>(error))?),
            Err(error) => Err(error),
            Ok(_) => {
                self.count_deleted(1);
                Ok(())
            }
        }
    }

    /// Once a connection: what stays behind is tried again and again, and each time for the same reason.
    fn tell_forbidden(&self, error: &kube::Error) {
        if !self.told_forbidden.swap(true, Ordering::SeqCst) {
            let note = format!("cannot delete what it runs for this cluster: {error}");
            self.home
                .events
                .warning(reference(&self.target.read()), "DeletionForbidden", "Delete", note);
        }
    }

    async fn delete_pod(&self, pod: &ProxyPod) -> Result<(), CallError> {
        let target = self.target.read().target.to_string();
        let note = format!("the delegate in {target} is gone, so this pod goes too; its controller makes a new one");
        self.home
            .events
            .warning(pod.reference(), "DelegateGone", "Delete", note);
        Ok(self.home.delete_pod(pod).await?)
    }

    async fn sync(&self, pod: &ProxyPod, chaperon: &RemoteChaperon) -> Result<(), CallError> {
        // Before the delegate exists there is nothing to show.
        let Some(delegate) = &chaperon.status.delegate else {
            return Ok(());
        };
        let wanted = proxy_status(pod, &chaperon.status.pod);
        let pods = Api::<PodView>::namespaced(self.home.client.clone(), &pod.namespace);
        let params = PatchParams::default();
        if !shows(pod, &wanted)
            && let Some(patch) = merge::diff_of(&pod.status, &wanted).map_err(kube::Error::SerdeError)?
        {
            let patch = Patch::Merge(json!({ "metadata": { "uid": pod.uid }, "status": patch }));
            let mut span = Span::child("write proxy pod status", pod.traceparent.as_deref(), Instant::now());
            span.set("k8s.pod.phase", wanted.phase.clone().unwrap_or_default());
            span.set("k8s.node.name", self.node.clone());
            match pods.patch_status(&pod.name, &params, &patch).await {
                Ok(written) => {
                    self.home.metrics.proxy_statuses.inc();
                    let lag = chaperon.seen.map(|seen| seen.elapsed().as_secs_f64());
                    lag.inspect(|lag| self.home.metrics.proxy_status_lag.observe(*lag));
                    self.home.pods.put(ProxyPod::from(written));
                }
                Err(error) => {
                    span.fail(&error);
                    api_error::ignore_gone(Err::<(), _>(error))?;
                }
            }
        }
        let changed = returning_annotations(pod, delegate);
        if !changed.is_empty() {
            let patch = Patch::Merge(json!({ "metadata": { "uid": pod.uid, "annotations": changed } }));
            api_error::ignore_gone(pods.patch(&pod.name, &params, &patch).await)?;
        }
        Ok(())
    }
}
