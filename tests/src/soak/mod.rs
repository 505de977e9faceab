//! The soak: workloads come and go over three targets while components die, hang and restart and links are cut, all at
//! random from a seed. An observer of its own judges whether the promises hold.
//!
//! ```text
//! seed ─┬─▶ schedule ─▶ faults ──▶ processes, links        ┌─▶ rules ────┐
//!       └─▶ churn ────▶ source's API server                │             ├─▶ report
//!           observer ◀─ lists of all clusters ─▶ history ──┴─▶ recovery ─┘
//! ```
//!
//! Schedule, rules and recovery are pure. See docs/soak.md.

mod churn;
mod faults;
mod history;
mod memory;
mod observer;
mod recovery;
mod report;
mod rules;
mod schedule;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use tokio::time::Instant;

use self::churn::{Changed, Churn};
use self::faults::{Faults, Log};
use self::history::Snapshot;
use self::observer::{History, Observer};
use self::report::Report;
use self::rules::{Rule, Violation, left_over, unsettled};
use self::schedule::{Place, Schedule};
use self::world::World;
use crate::{Testbed, bench, keep_logs};

/// Time since the begin of a run.
pub type At = Duration;

/// How long it may take until all is as desired after the last fault, and until nothing is left after all was deleted.
const REST: Duration = Duration::from_secs(60);
/// How long all must stay as desired to be at rest.
const STAY: Duration = Duration::from_secs(3);

/// How long a run may take beyond the time in which things are broken, before it is given up.
const PATIENCE: Duration = Duration::from_secs(180);

/// Break things at random, and check that what must hold holds
#[derive(Clone, Debug, Parser)]
#[command(name = "soak")]
pub struct Args {
    /// How long things are broken
    #[arg(long, env = "SOAK_MINUTES", default_value_t = 10.0, value_parser = minutes)]
    pub minutes: f64,
    /// What faults and workloads follow from; one at random when not given
    #[arg(long, env = "SOAK_SEED")]
    pub seed: Option<u64>,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|error| format!("{error}"))?;
    (1.0..=600.0)
        .contains(&minutes)
        .then_some(minutes)
        .ok_or_else(|| "must be from 1 to 600".to_owned())
}

/// Kinds of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Deployment,
    StatefulSet,
    Job,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::Job];

    fn prefix(self) -> &'static str {
        match self {
            Self::Deployment => "deployment-",
            Self::StatefulSet => "statefulset-",
            Self::Job => "job-",
        }
    }

    /// The kind of the workload of this name.
    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| name.starts_with(kind.prefix()))
    }
}

/// The clock of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    fn now(self) -> At {
        self.0.elapsed()
    }

    async fn sleep_until(self, at: At) {
        tokio::time::sleep_until(self.0 + at).await;
    }
}

/// What a run comes to, in two numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    pub faults: usize,
    pub violations: usize,
}

/// Run, print what was found, and write the numbers. An error when a promise was broken.
pub async fn run(args: Args) -> Result<()> {
    let violations = measure(args).await?.violations;
    anyhow::ensure!(violations == 0, "{violations} violations: see above");
    Ok(())
}

/// [`run`], where violations are a result like others.
pub(crate) async fn measure(args: Args) -> Result<Score> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("soak: seed {seed}, {} minutes", args.minutes);
    let schedule = Schedule::new(seed, Duration::from_secs_f64(args.minutes * 60.0));
    let testbed = Testbed::new("soak").await?;
    let world = World::start(&testbed, seed).await?;
    let dir = bench::folder(world.seat(Place::Source)?.programs())?;
    let soak = Soak::new(world, seed);
    let run = tokio::time::timeout(schedule.end + PATIENCE, soak.run(&schedule, args.minutes));
    let (history, report) = run
        .await
        .context("the clusters do not come to rest")
        .flatten()
        .inspect_err(|_| keep_logs())?;
    println!("\n{report}");
    if !report.violations.is_empty() {
        keep_logs();
        let path = testbed.dir().join("history.json");
        std::fs::write(&path, serde_json::to_string(&history)?)?;
        println!("all that was seen: {}", path.display());
    }
    report.write(&dir.join("soak.json"))?;
    Ok(Score {
        faults: report.broken(),
        violations: report.violations.len(),
    })
}

struct Soak {
    world: World,
    seed: u64,
    clock: Clock,
    history: History,
    log: Log,
    changed: Changed,
}

impl Soak {
    fn new(world: World, seed: u64) -> Self {
        Self {
            world,
            seed,
            clock: Clock(Instant::now()),
            history: History::default(),
            log: Log::default(),
            changed: Changed::default(),
        }
    }

    async fn run(&self, schedule: &Schedule, minutes: f64) -> Result<(Vec<Snapshot>, Report)> {
        let observer = Observer::new(&self.world, self.clock).await?;
        let looking = tokio::spawn(observer.run(self.history.clone()));
        let faults = Faults::new(&self.world, self.clock, self.log.clone());
        let client = self.world.seat(Place::Source)?.cluster.client();
        let mut churn = Churn::new(client, self.clock, self.seed, self.changed.clone());
        let outcome = tokio::select! {
            outcome = self.act(schedule, &faults, &mut churn) => outcome,
            error = faults.supervise() => error.and_then(|()| anyhow::bail!("the supervision ended")),
        };
        looking.abort();
        let outcome = outcome?;
        let history = self.history.lock().clone();
        let faults = self.log.lock().clone();
        let changed = self.changed.lock().clone();
        let mut violations = rules::violations(&history, &faults);
        violations.extend(outcome.violations);
        let report = Report {
            seed: self.seed,
            minutes,
            recoveries: recovery::recoveries(&history, &faults, &changed, outcome.end),
            faults,
            memory: outcome.memory,
            looks: history.len(),
            longest_gap: longest_gap(&history),
            changes: (changed.len(), outcome.failed),
            violations,
        };
        Ok((history, report))
    }

    async fn act(&self, schedule: &Schedule, faults: &Faults<'_>, churn: &mut Churn) -> Result<Outcome> {
        let (first, second): (Vec<_>, Vec<_>) = schedule.faults.iter().partition(|fault| fault.at < schedule.half_time);
        let (failed, broken) = tokio::join!(churn.run(schedule.half_quiet), faults.run(first));
        broken?;
        self.clock.sleep_until(schedule.half_time).await;
        let half = memory::read(&self.world)?;
        let (failed_later, broken) = tokio::join!(churn.run(schedule.end), faults.run(second));
        broken?;
        println!("{:6.1} s  quiet", self.clock.now().as_secs_f64());
        let mut violations = self.rest(Rule::Desired, |snapshot| describe(unsettled(snapshot))).await;
        let memory = memory::compare(&half, &memory::read(&self.world)?);
        violations.extend(memory::violations(&memory, self.clock.now()));
        let end = self.clock.now();
        println!("{:6.1} s  deleting all", end.as_secs_f64());
        churn.delete_all().await.context("deleting all workloads")?;
        violations.extend(self.rest(Rule::LeftOver, left_over).await);
        Ok(Outcome {
            end,
            memory,
            failed: failed + failed_later,
            violations,
        })
    }

    /// Wait until nothing is amiss for a while. A violation when that takes too long.
    async fn rest(&self, rule: Rule, amiss: impl Fn(&Snapshot) -> Vec<String>) -> Vec<Violation> {
        let since = self.clock.now();
        let (mut well_since, mut last) = (None, vec!["nothing was seen".to_owned()]);
        while well_since.is_some() || self.clock.now() < since + REST {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let seen = self.history.lock().last().cloned().unwrap_or_default();
            if seen.source.as_ref().is_some_and(|read| read.asked < since) {
                continue;
            }
            last = amiss(&seen);
            well_since = last.is_empty().then(|| well_since.unwrap_or(self.clock.now()));
            if well_since.is_some_and(|well| self.clock.now() >= well + STAY) {
                return Vec::new();
            }
        }
        vec![Violation {
            rule,
            at: self.clock.now(),
            what: format!("{REST:?} later: {}", last.join("; ")),
        }]
    }
}

struct Outcome {
    /// When all workloads were deleted.
    end: At,
    memory: Vec<memory::Comparison>,
    failed: usize,
    violations: Vec<Violation>,
}

fn describe(reasons: BTreeMap<String, String>) -> Vec<String> {
    reasons.into_iter().map(|(who, why)| format!("{who}: {why}")).collect()
}

fn longest_gap(history: &[Snapshot]) -> Duration {
    let asked: Vec<_> = history
        .iter()
        .filter_map(|snapshot| Some(snapshot.source.as_ref()?.asked))
        .collect();
    asked.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}
