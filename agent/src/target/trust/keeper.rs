//! Watches providers, Sources and the ClusterRole; keeps the role's rules and the providers' conditions.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, select_all};
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider, names};
use multicluster_trust::ProviderRef;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::index::{Decision, Index, News};
use super::role::Role;
use super::verdict::{RoleState, Verdict};
use crate::api_error;
use crate::changes::{Change, changes};
use crate::events::Events;
use crate::metrics::Metrics;

/// Shortest time between two rounds that wrote something: what changes meanwhile is written together.
const PERIOD: Duration = Duration::from_millis(100);
/// Pause before what has failed is tried again. Whoever was to lose something must not keep it for long.
const RETRY: Duration = Duration::from_millis(500);
/// How often the ClusterRole is read, also when its watch says nothing.
const CHECK: Duration = Duration::from_secs(10);
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Conditions written in one round, between which the ClusterRole is looked at again.
const CONDITIONS: usize = 16;
/// So many failures in a row are no accident: rights that have just been given take a moment to count.
const ACCIDENTS: u32 = 2;
/// Longest part of a message that others have written.
const MAX_QUOTE: usize = 1024;

/// Follow who is trusted until `stop`.
pub async fn run(client: Client, events: Events, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut keeper = Keeper {
        client,
        events,
        metrics,
        index: Index::default(),
        failures: 0,
    };
    tokio::select! { () = keeper.follow() => {}, () = stop.cancelled() => {} }
}

struct Keeper {
    client: Client,
    events: Events,
    metrics: Arc<Metrics>,
    index: Index,
    /// How often in a row the ClusterRole could not be written.
    failures: u32,
}

/// Why a call has failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Late(#[from] tokio::time::error::Elapsed),
}

impl CallError {
    /// What the API server says, if it has understood and refuses.
    fn refusal(&self) -> Option<String> {
        match self {
            Self::Kube(error) => api_error::refusal(error).map(|message| message.chars().take(MAX_QUOTE).collect()),
            Self::Late(_) => None,
        }
    }
}

async fn call<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    Ok(timeout(TIMEOUT, request).await??)
}

/// How a round went.
#[derive(Default)]
struct Round {
    wrote: bool,
    again: bool,
    failed: bool,
}

impl Keeper {
    async fn follow(&mut self) {
        let mut news = self.news();
        let mut check = tokio::time::interval(CHECK);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next: Option<Instant> = None;
        loop {
            let due = next.unwrap_or_else(Instant::now);
            tokio::select! {
                Some(one) = news.next() => self.index.take(one),
                () = sleep_until(due), if next.is_some() => {}
                _ = check.tick() => self.read_role().await,
            }
            while let Some(Some(one)) = news.next().now_or_never() {
                self.index.take(one);
            }
            let began = Instant::now();
            let round = self.round().await;
            if round.wrote {
                sleep_until(began + PERIOD).await;
            }
            next = match round {
                Round { again: true, .. } => Some(began),
                Round { failed: true, .. } => Some(began + RETRY),
                _ => None,
            };
        }
    }

    fn news(&self) -> stream::SelectAll<BoxStream<'static, News>> {
        let client = || self.client.clone();
        let by_name = Config::default().fields(&format!("metadata.name={}", names::IMPERSONATION_ROLE));
        // Not those of the grants: whoever loses something does not wait for what others are given.
        let sources = changes("sources".into(), Api::<Source>::all(client()), Config::default());
        let cluster = changes(
            "clustersources".into(),
            Api::<ClusterSource>::all(client()),
            Config::default(),
        );
        let providers = changes(
            "trustedidentityproviders".into(),
            Api::<TrustedIdentityProvider>::all(client()),
            Config::default(),
        );
        let role = changes("clusterroles".into(), Api::<ClusterRole>::all(client()), by_name);
        select_all([
            sources.map(News::Source).boxed(),
            cluster.map(News::ClusterSource).boxed(),
            providers.map(News::Provider).boxed(),
            role.map(News::Role).boxed(),
        ])
    }

    async fn read_role(&mut self) {
        match call(self.roles().get_opt(names::IMPERSONATION_ROLE)).await {
            Ok(role) => self.index.read_role(role),
            Err(error) => tracing::debug!(%error, role = names::IMPERSONATION_ROLE, "reading"),
        }
    }

    /// Do what is to do: the role first, then some conditions.
    async fn round(&mut self) -> Round {
        let Some(decision) = self.index.decide() else {
            return Round::default();
        };
        let mut round = Round::default();
        let state = self.keep_role(&decision.role, &mut round).await;
        let verdicts = self.count(&decision, &state);
        let mut told = verdicts
            .into_iter()
            .filter_map(|(provider, verdict)| Some((self.news_of(&provider, &verdict)?, provider, verdict)));
        let now: Vec<_> = told.by_ref().take(CONDITIONS).collect();
        round.again = told.next().is_some();
        for written in stream::iter(now)
            .map(|(condition, provider, verdict)| self.tell(condition, provider, verdict))
            .buffer_unordered(CONDITIONS)
            .collect::<Vec<_>>()
            .await
        {
            match written {
                Ok(object) => {
                    round.wrote = true;
                    if let Some(object) = object {
                        self.index.take(News::Provider(Change::Put(object)));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "writing the condition of a TrustedIdentityProvider");
                    round.failed = true;
                }
            }
        }
        round
    }

    async fn keep_role(&mut self, role: &Role, round: &mut Round) -> RoleState {
        let found = match self.index.role() {
            None => return RoleState::Missing,
            Some(found) => found,
        };
        if role.is(found) {
            self.failures = 0;
            return RoleState::Kept;
        }
        // As a whole, whatever stands there by now.
        let patch = json!({ "rules": role.rules(), "aggregationRule": null });
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        match call(self.roles().patch(names::IMPERSONATION_ROLE, &params, &patch)).await {
            Ok(written) => {
                let (users, groups) = (role.users.len(), role.groups.len());
                tracing::info!(users, groups, "whom the authenticating proxy may impersonate");
                self.metrics.impersonation_writes.inc();
                self.index.take(News::Role(Change::Put(written)));
                self.failures = 0;
                round.wrote = true;
                RoleState::Kept
            }
            Err(CallError::Kube(error)) if api_error::is_not_found(&error) => {
                self.index.read_role(None);
                RoleState::Missing
            }
            Err(error) => {
                tracing::warn!(%error, role = names::IMPERSONATION_ROLE, "writing");
                self.failures += 1;
                round.failed = true;
                match error.refusal() {
                    Some(message) if self.failures > ACCIDENTS => RoleState::Refused(message),
                    _ => RoleState::Unsure,
                }
            }
        }
    }

    /// What is to be said of each provider; the metrics say the same.
    fn count(&self, decision: &Decision, state: &RoleState) -> Vec<(ProviderRef, Verdict)> {
        let verdicts: Vec<_> = decision
            .trust
            .providers
            .iter()
            .filter_map(|(provider, decided)| {
                let verdict = Verdict::of(provider, decided, &decision.role, state)?;
                Some((provider.clone(), verdict))
            })
            .collect();
        if *state != RoleState::Unsure {
            self.metrics
                .providers(verdicts.iter().map(|(_, verdict)| verdict.reason));
        }
        if *state == RoleState::Kept {
            self.metrics.impersonated_users.set(decision.role.users.len() as i64);
        }
        verdicts
    }

    /// The condition to write, if it is another one.
    fn news_of(&self, provider: &ProviderRef, verdict: &Verdict) -> Option<Condition> {
        let object = self.index.provider(provider)?;
        let conditions = object.status.iter().flat_map(|status| &status.conditions);
        let old = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        let generation = object.metadata.generation.unwrap_or_default();
        verdict.news(old, generation, Timestamp::now())
    }

    /// Write it. `None` when the provider is gone.
    async fn tell(
        &self,
        condition: Condition,
        provider: ProviderRef,
        verdict: Verdict,
    ) -> Result<Option<TrustedIdentityProvider>, CallError> {
        let generation = condition.observed_generation;
        let patch = json!({
            // Not of another one that has its name by now.
            "metadata": { "uid": provider.uid },
            "status": { "conditions": [condition], "observedGeneration": generation },
        });
        let api = Api::<TrustedIdentityProvider>::namespaced(self.client.clone(), &provider.namespace);
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        match call(api.patch_status(&provider.name, &params, &patch)).await {
            Ok(object) => {
                if !verdict.is_ready() {
                    let (reason, message) = (verdict.reason, verdict.message);
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

    fn roles(&self) -> Api<ClusterRole> {
        Api::all(self.client.clone())
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
