//! One agent of a cluster works, the others wait: the holder of a Lease (coordination.k8s.io).
//!
//! ```text
//! campaign ──Lease is ours──▶ lead: work, and renew ──┬── told to stop ──▶ finish, give the Lease back, end
//!     ▲                                               └── cannot renew ──▶ write nothing more, end the work ──┐
//!     └─────────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! * [`election`]: what to do about the Lease. Pure.
//! * [`fence`]: nothing is written by who does not lead any more.
//! * [`args`]: the flags.
//!
//! Who waits watches the Lease, so that it sees a release at once, and the leader's last sign of life when it was given.
//! The work of a leader begins anew with each term: it knows nothing of what happened before.

pub mod args;
pub mod election;
pub mod fence;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client};
use multicluster_targets::watching;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::args::LeaderArgs;
use self::election::{Election, Step, Timings};
use self::fence::Fence;
use crate::api_error;

/// How long a leader that is told to stop may finish what is under way. All of it can be cut off: the next leader finds
/// what was done.
const FINISH: Duration = Duration::from_secs(2);
/// How long work may take to end that may write nothing any more. Longer than targets are given to end theirs.
const WIND_UP: Duration = Duration::from_secs(12);
/// Tries to give the Lease back. The second one knows what a renewal that was cut off has written.
const RELEASES: usize = 2;

/// Leading, for as long as it lasts.
#[derive(Clone)]
pub struct Term {
    /// Clients that write must be behind it.
    pub fence: Fence,
    /// The work should end.
    pub stop: CancellationToken,
}

/// Somebody who would lead.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    election: Election,
    timings: Timings,
    leads: Gauge,
}

impl Candidate {
    /// A candidate with an identity of its own. `leads` is 1 while it leads.
    pub fn new(client: Client, args: &LeaderArgs, leads: Gauge) -> anyhow::Result<Self> {
        let (timings, name) = (args.timings()?, &args.leader_elect_resource_name);
        Ok(Self {
            leases: Api::namespaced(client, &args.leader_elect_resource_namespace),
            election: Election::new(name, &identity(), timings),
            name: name.clone(),
            timings,
            leads,
        })
    }

    /// Work whenever this candidate leads, until `stop`. `on_known` is called whenever it is known who leads.
    ///
    /// # Errors
    ///
    /// The work ended by itself, or did not end when it had to: the process should end.
    pub async fn run<F>(
        mut self,
        stop: CancellationToken,
        on_known: impl Fn(),
        work: impl Fn(Term) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        while let Some(acquired) = self.acquire(&stop, &on_known).await {
            tracing::info!(lease = self.name, "leading");
            self.leads.set(1);
            let term = Term {
                fence: Fence::until(acquired + self.timings.renew_deadline),
                stop: stop.child_token(),
            };
            let work = work(term.clone());
            on_known();
            let ended = self.lead(&term, acquired, work).await;
            term.fence.close();
            self.leads.set(0);
            if let Some(result) = ended.transpose() {
                self.release().await;
                return result;
            }
        }
        Ok(())
    }

    /// Wait until the Lease is ours. Returns when that began, or `None` at `stop`.
    async fn acquire(&mut self, stop: &CancellationToken, on_known: impl Fn()) -> Option<Instant> {
        let changes = watch_object(self.leases.clone(), &self.name).backoff(watching::pauses());
        let mut changes = std::pin::pin!(changes);
        loop {
            let now = Instant::now();
            let next = match self.election.campaign(now, Timestamp::now()) {
                Step::Wait(until) => {
                    on_known();
                    until
                }
                step => match stop.run_until_cancelled(self.carry_out(step)).await? {
                    Ok(true) => return Some(now),
                    Ok(false) => continue,
                    Err(error) => {
                        tracing::warn!(lease = self.name, error = format!("{error:#}"), "campaigning");
                        now + self.timings.retry_period
                    }
                },
            };
            stop.run_until_cancelled(self.news(changes.as_mut(), next)).await?;
        }
    }

    /// Wait for a change of the Lease, or until `end`.
    async fn news(&mut self, mut changes: Pin<&mut impl Stream<Item = watcher::Result<Option<Lease>>>>, end: Instant) {
        match timeout_at(end, changes.next()).await {
            Ok(Some(Ok(lease))) => self.election.observe(lease, Instant::now()),
            // Ask, as long as the watch tells nothing. It pauses between its errors.
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "watching the Lease");
                let _ = self.carry_out(Step::Read).await;
            }
            Ok(None) => sleep_until(end).await,
            Err(_) => {}
        }
    }

    /// Lead until the work ends (`Some`) or the Lease is lost (`None`).
    async fn lead(
        &mut self,
        term: &Term,
        acquired: Instant,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Option<()>> {
        let mut work = std::pin::pin!(work);
        let too_long = async {
            term.stop.cancelled().await;
            sleep(FINISH).await;
        };
        tokio::select! {
            ended = &mut work => return ended.map(Some),
            () = too_long => {
                tracing::warn!("work is cut off; the next leader goes on with it");
                return Ok(Some(()));
            }
            () = self.renew(&term.fence, acquired) => {}
        }
        tracing::warn!(
            lease = self.name,
            holder = self.election.holder(),
            "not leading any more"
        );
        term.fence.close();
        self.leads.set(0);
        term.stop.cancel();
        timeout(WIND_UP, work)
            .await
            .context("work did not end when the Lease was lost")??;
        Ok(None)
    }

    /// Renew until the Lease is lost.
    async fn renew(&mut self, fence: &Fence, mut renewed: Instant) {
        let mut tried = renewed;
        loop {
            sleep_until(tried + self.timings.retry_period).await;
            let end = renewed + self.timings.renew_deadline;
            tried = Instant::now();
            // Also after this process was stopped for a while.
            if tried >= end {
                return;
            }
            let Some(lease) = self.election.renewal(Timestamp::now()) else {
                return;
            };
            match timeout_at(end, self.carry_out(Step::Replace(lease))).await {
                Ok(Ok(true)) => {
                    renewed = tried;
                    fence.extend(renewed + self.timings.renew_deadline);
                }
                // Somebody has changed the Lease; if it is ours still, once more, at once.
                Ok(Ok(false)) => tried -= self.timings.retry_period,
                Ok(Err(error)) => tracing::warn!(lease = self.name, error = format!("{error:#}"), "renewing"),
                Err(_) => return,
            }
        }
    }

    /// Give the Lease back, so that the next leader need not wait for its end.
    async fn release(&mut self) {
        for _ in 0..RELEASES {
            let Some(lease) = self.election.release(Timestamp::now()) else {
                return;
            };
            match self.carry_out(Step::Replace(lease)).await {
                Ok(true) => return tracing::info!(lease = self.name, "released"),
                Ok(false) => {}
                Err(error) => return tracing::warn!(lease = self.name, error = format!("{error:#}"), "releasing"),
            }
        }
    }

    /// Read or write the Lease, and take in how it is now. True when it was written.
    async fn carry_out(&mut self, step: Step) -> anyhow::Result<bool> {
        // Time for another try within the deadline.
        let answer = self.timings.renew_deadline / 2;
        let exchanged = timeout(answer, self.exchange(step)).await;
        Ok(exchanged.with_context(|| format!("no answer within {answer:?}"))??)
    }

    async fn exchange(&mut self, step: Step) -> kube::Result<bool> {
        let post = PostParams::default();
        let replaces = matches!(step, Step::Replace(_));
        let written = match step {
            Step::Create(lease) => Some(self.leases.create(&post, &lease).await),
            Step::Replace(lease) => Some(self.leases.replace(&self.name, &post, &lease).await),
            Step::Read | Step::Wait(_) => None,
        };
        let (lease, written) = match written {
            Some(Ok(lease)) => (Some(lease), true),
            // Somebody was faster, or has deleted it.
            Some(Err(error)) if api_error::is_overtaken(&error) || replaces && api_error::is_not_found(&error) => {
                (self.leases.get_opt(&self.name).await?, false)
            }
            Some(Err(error)) => return Err(error),
            None => (self.leases.get_opt(&self.name).await?, false),
        };
        self.election.observe(lease, Instant::now());
        Ok(written)
    }
}

/// Lead without an election, until `stop`.
pub async fn alone<F>(stop: CancellationToken, leads: Gauge, work: impl Fn(Term) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    leads.set(1);
    let fence = Fence::none();
    work(Term { fence, stop }).await
}

/// Where this process runs, and which one it is there.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("agent");
    // Each process has a random state of its own.
    format!("{host}_{:016x}", RandomState::new().hash_one(std::process::id()))
}
