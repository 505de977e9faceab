//! Watches providers, Sources and the ClusterRole; keeps the role's rules and the providers' conditions.
//!
//! The role comes first: a condition that cannot be written, or not soon, holds nothing else up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered, select_all};
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider, names};
use multicluster_trust::ProviderRef;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::index::{Decision, Index, News};
use super::role::Role;
use super::tell::{CallError, Teller, call};
use super::verdict::{RoleState, Verdict};
use crate::api_error;
use crate::changes::{Change, changes};
use crate::events::Events;
use crate::metrics::Metrics;

/// Shortest time between two writes of the role: what changes meanwhile is written together.
const PERIOD: Duration = Duration::from_millis(100);
/// Pause before what has failed is tried again. Whoever was to lose something must not keep it for long.
const RETRY: Duration = Duration::from_millis(500);
/// How often the ClusterRole is read, also when its watch says nothing.
const CHECK: Duration = Duration::from_secs(10);
/// Conditions that are being written at a time.
const CONDITIONS: usize = 16;
/// So many failures in a row are no accident: rights that have just been given take a moment to count.
const ACCIDENTS: u32 = 2;

/// Follow who is trusted until `stop`.
pub async fn run(client: Client, events: Events, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut keeper = Keeper {
        teller: Teller::new(client.clone(), events),
        client,
        metrics,
        index: Index::default(),
        failures: 0,
        not_before: Instant::now(),
        busy: BTreeSet::new(),
        calls: FuturesUnordered::new(),
    };
    tokio::select! { () = keeper.follow() => {}, () = stop.cancelled() => {} }
}

struct Keeper {
    client: Client,
    teller: Teller,
    metrics: Arc<Metrics>,
    index: Index,
    /// How often in a row the ClusterRole could not be written.
    failures: u32,
    /// When it may be written again.
    not_before: Instant,
    /// Providers whose condition is being written.
    busy: BTreeSet<ProviderRef>,
    calls: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// A call that went on beside the work.
enum Done {
    /// A condition; the provider as it is now, unless it is gone.
    Told(ProviderRef, Box<Result<Option<TrustedIdentityProvider>, CallError>>),
    /// The role as it is now, unless there is none.
    Read(Box<Result<Option<ClusterRole>, CallError>>),
}

impl Keeper {
    async fn follow(&mut self) {
        let mut news = self.news();
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next: Option<Instant> = None;
        loop {
            let due = next.unwrap_or_else(Instant::now);
            let mut failed = false;
            tokio::select! {
                Some(one) = news.next() => self.index.take(one),
                Some(done) = self.calls.next() => failed = !self.take(done),
                () = sleep_until(due), if next.is_some() => next = None,
                _ = check.tick() => self.read_role(),
            }
            while let Some(Some(one)) = news.next().now_or_never() {
                self.index.take(one);
            }
            let again = match self.index.decide() {
                Some(decision) => self.keep(&decision, failed).await,
                None => None,
            };
            next = [next, again].into_iter().flatten().min();
        }
    }

    fn news(&self) -> stream::SelectAll<BoxStream<'static, News>> {
        let client = || self.client.clone();
        let all = Config::default;
        let by_name = all().fields(&format!("metadata.name={}", names::IMPERSONATION_ROLE));
        // Not those of the grants: whoever loses something does not wait for what others are given.
        let sources = changes("sources".into(), Api::<Source>::all(client()), all());
        let cluster = changes("clustersources".into(), Api::<ClusterSource>::all(client()), all());
        let providers = Api::<TrustedIdentityProvider>::all(client());
        let providers = changes("trustedidentityproviders".into(), providers, all());
        let role = changes("clusterroles".into(), self.roles(), by_name);
        select_all([
            sources.map(News::Source).boxed(),
            cluster.map(News::ClusterSource).boxed(),
            providers.map(News::Provider).boxed(),
            role.map(News::Role).boxed(),
        ])
    }

    fn read_role(&self) {
        let roles = self.roles();
        let read = async move { Done::Read(Box::new(call(roles.get_opt(names::IMPERSONATION_ROLE)).await)) };
        self.calls.push(read.boxed());
    }

    /// Take a call's answer in. Did it go well?
    fn take(&mut self, done: Done) -> bool {
        let error = match done {
            Done::Read(read) => match *read {
                Ok(role) => {
                    self.index.read_role(role);
                    return true;
                }
                Err(error) => error,
            },
            Done::Told(provider, told) => {
                self.busy.remove(&provider);
                match *told {
                    Ok(Some(object)) => {
                        self.index.take(News::Provider(Change::Put(object)));
                        return true;
                    }
                    Ok(None) => return true,
                    Err(error) => error,
                }
            }
        };
        tracing::warn!(%error, "trusted identity providers");
        false
    }

    /// Do what is to do, the role first. Returns when to look again; `failed` says that there is no hurry with conditions.
    async fn keep(&mut self, decision: &Decision, failed: bool) -> Option<Instant> {
        let (state, again) = self.keep_role(&decision.role).await;
        let verdicts = self.judge(decision, &state);
        if failed {
            return Some(again.unwrap_or_else(|| Instant::now() + RETRY));
        }
        for (provider, verdict) in verdicts {
            // Those that are left come when one of these is done.
            if self.busy.len() >= CONDITIONS {
                break;
            }
            if let Some(condition) = self.news_of(&provider, &verdict) {
                self.busy.insert(provider.clone());
                let teller = self.teller.clone();
                let tell = async move {
                    let told = teller.tell(&provider, &verdict, condition).await;
                    Done::Told(provider, Box::new(told))
                };
                self.calls.push(tell.boxed());
            }
        }
        again
    }

    async fn keep_role(&mut self, role: &Role) -> (RoleState, Option<Instant>) {
        let found = match self.index.role() {
            None => return (RoleState::Missing, None),
            Some(found) => found,
        };
        if role.is(found) {
            self.failures = 0;
            return (RoleState::Kept, None);
        }
        if Instant::now() < self.not_before {
            return (RoleState::Unsure, Some(self.not_before));
        }
        let result = self.write_role(role).await;
        self.not_before = Instant::now() + if result.is_ok() { PERIOD } else { RETRY };
        match result {
            Ok(written) => {
                self.index.take(News::Role(Change::Put(written)));
                self.failures = 0;
                (RoleState::Kept, None)
            }
            Err(CallError::Kube(error)) if api_error::is_not_found(&error) => {
                self.index.read_role(None);
                (RoleState::Missing, None)
            }
            Err(error) => {
                tracing::warn!(%error, role = names::IMPERSONATION_ROLE, "writing");
                self.failures += 1;
                let state = match error.refusal() {
                    Some(message) if self.failures > ACCIDENTS => RoleState::Refused(message),
                    _ => RoleState::Unsure,
                };
                (state, Some(self.not_before))
            }
        }
    }

    /// As a whole, whatever stands there by now.
    async fn write_role(&mut self, role: &Role) -> Result<ClusterRole, CallError> {
        let patch = Patch::Merge(json!({ "rules": role.rules(), "aggregationRule": null }));
        let (roles, params) = (self.roles(), PatchParams::default());
        let written = call(roles.patch(names::IMPERSONATION_ROLE, &params, &patch)).await?;
        let (users, groups) = (role.users.len(), role.groups.len());
        tracing::info!(users, groups, "whom the authenticating proxy may impersonate");
        self.metrics.impersonation_writes.inc();
        Ok(written)
    }

    /// What is to be said of each provider; the metrics say the same.
    fn judge(&self, decision: &Decision, state: &RoleState) -> Vec<(ProviderRef, Verdict)> {
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
        match state {
            RoleState::Kept => self.metrics.impersonated_users.set(decision.role.users.len() as i64),
            RoleState::Missing => self.metrics.impersonated_users.set(0),
            RoleState::Unsure | RoleState::Refused(_) => 0,
        };
        verdicts
    }

    /// The condition to write, if it is another one and none is being written.
    fn news_of(&self, provider: &ProviderRef, verdict: &Verdict) -> Option<Condition> {
        if self.busy.contains(provider) {
            return None;
        }
        let object = self.index.provider(provider)?;
        let mut conditions = object.status.iter().flat_map(|status| &status.conditions);
        let old = conditions.find(|condition| condition.type_ == "Ready");
        verdict.news(old, object.metadata.generation.unwrap_or_default(), Timestamp::now())
    }

    fn roles(&self) -> Api<ClusterRole> {
        Api::all(self.client.clone())
    }
}
