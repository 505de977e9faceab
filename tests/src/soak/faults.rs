//! Breaks things as the schedule says, mends them, and starts again what ends by itself, as kubelets do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;

use super::Clock;
use super::history::Window;
use super::schedule::{Fault, How, Subject};
use super::world::World;
use crate::Network;

/// How often processes are looked at.
const LOOK: Duration = Duration::from_millis(300);
/// How long a process that ended by itself stays away.
const AWAY: Duration = Duration::from_secs(1);

/// What was broken so far.
pub type Log = Arc<Mutex<Vec<Window>>>;

/// Breaks and mends.
pub struct Faults<'a> {
    world: &'a World,
    clock: Clock,
    log: Log,
    broken: Mutex<BTreeSet<Subject>>,
}

impl<'a> Faults<'a> {
    /// Nothing is broken yet.
    pub fn new(world: &'a World, clock: Clock, log: Log) -> Self {
        Self {
            world,
            clock,
            log,
            broken: Mutex::default(),
        }
    }

    /// Carry out these faults, each at its time. Returns when all are undone.
    pub async fn run(&self, faults: impl IntoIterator<Item = Fault>) -> Result<()> {
        futures::future::try_join_all(faults.into_iter().map(|fault| self.carry_out(fault)))
            .await
            .map(drop)
    }

    async fn carry_out(&self, fault: Fault) -> Result<()> {
        self.clock.sleep_until(fault.at).await;
        // What is still being mended from its last fault is left alone until it is well.
        while !self.broken.lock().insert(fault.subject) {
            tokio::time::sleep(LOOK).await;
        }
        let index = self.begin(fault.subject, Some(fault.how));
        self.inflict(&fault)
            .await
            .with_context(|| format!("{} to be {}", fault.subject, fault.how))?;
        tokio::time::sleep(fault.lasts).await;
        self.undo(&fault)
            .await
            .with_context(|| format!("{} to be well again", fault.subject))?;
        self.end(index);
        self.broken.lock().remove(&fault.subject);
        Ok(())
    }

    async fn inflict(&self, fault: &Fault) -> Result<()> {
        let process = || self.world.process(fault.subject);
        match (fault.how, fault.subject) {
            (How::Network(network), Subject::Link(index)) => self.world.links[index].set(network),
            (How::Kill, _) => drop(process()?.kill().await?),
            (How::Restart, _) => drop(process()?.stop().await?),
            (How::Pause, _) => process()?.pause()?,
            (How::Network(_), _) => {}
        }
        Ok(())
    }

    async fn undo(&self, fault: &Fault) -> Result<()> {
        match (fault.how, fault.subject) {
            (How::Network(_), Subject::Link(index)) => self.world.links[index].set(Network::Up),
            (How::Pause, _) => self.world.process(fault.subject)?.resume()?,
            (How::Kill | How::Restart, _) => self.world.process(fault.subject)?.start()?,
            (How::Network(_), _) => {}
        }
        if let Subject::ApiServer(place) = fault.subject {
            self.world.wait_api_server(place).await?;
        }
        Ok(())
    }

    /// Start again what ends by itself: a scheduler that lost its Lease, say.
    pub async fn supervise(&self) -> Result<()> {
        loop {
            tokio::time::sleep(LOOK).await;
            for subject in World::subjects() {
                let process = self.world.process(subject)?;
                if process.is_running() || !self.broken.lock().insert(subject) {
                    continue;
                }
                let index = self.begin(subject, None);
                tokio::time::sleep(AWAY).await;
                process.start()?;
                self.end(index);
                self.broken.lock().remove(&subject);
            }
        }
    }

    fn begin(&self, subject: Subject, how: Option<How>) -> usize {
        let from = self.clock.now();
        let what = how.map_or("ended by itself".to_owned(), |how| how.to_string());
        println!("{:6.1} s  {subject}: {what}", from.as_secs_f64());
        let mut log = self.log.lock();
        log.push(Window {
            subject,
            how,
            from,
            to: None,
        });
        log.len() - 1
    }

    fn end(&self, index: usize) {
        let now = self.clock.now();
        let mut log = self.log.lock();
        log[index].to = Some(now);
        println!("{:6.1} s  {}: well again", now.as_secs_f64(), log[index].subject);
    }
}
