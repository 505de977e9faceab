//! The rule of names, checked all the time: an answer names no cluster that has had no ready pod for 10 s, and there is an
//! answer when a cluster has had one for as long.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::world::{REGIONS, World, is_running};

/// How long names may lag behind pods.
pub const LAG: Duration = Duration::from_secs(10);
/// How often the name is asked for.
const PERIOD: Duration = Duration::from_millis(100);

/// Asks for a name until it is dropped.
pub struct Rule {
    notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Notes {
    answers: usize,
    broken: BTreeSet<String>,
    targets: BTreeMap<&'static str, Target>,
}

/// What is known of a target.
struct Target {
    /// Somebody has cut it off.
    cut: bool,
    serves: bool,
    /// Since when it serves, or does not.
    since: Instant,
}

impl Target {
    fn see(&mut self, serves: bool) {
        if self.serves != serves {
            (self.serves, self.since) = (serves, Instant::now());
        }
    }
}

impl Rule {
    /// Watch the rule for a name from now on; all delegates of the namespace serve under it.
    pub fn watch(world: &Arc<World>, namespace: &'static str, host: &str) -> Self {
        let mut notes = Notes::default();
        for (target, _) in REGIONS {
            let (cut, serves, since) = (false, false, Instant::now());
            notes.targets.insert(target, Target { cut, serves, since });
        }
        let notes = Arc::new(Mutex::new(notes));
        let (world, host, taken) = (world.clone(), host.to_owned(), notes.clone());
        let task = tokio::spawn(async move {
            loop {
                look_at_pods(&world, namespace, &taken).await;
                for _ in 0..3 {
                    look_at_name(&world, &host, &taken).await;
                    tokio::time::sleep(PERIOD).await;
                }
            }
        });
        Self { notes, task }
    }

    /// A target is cut off from now on: nobody knows what it has.
    pub fn cut(&self, target: &str) {
        self.set_cut(target, true);
    }

    /// It can be reached again.
    pub fn healed(&self, target: &str) {
        self.set_cut(target, false);
    }

    fn set_cut(&self, target: &str, cut: bool) {
        if let Some(target) = self.notes.lock().targets.get_mut(target) {
            target.cut = cut;
            if cut {
                target.see(false);
            }
        }
    }

    /// The rule was never broken.
    pub fn check(&self) -> Result<()> {
        let notes = self.notes.lock();
        ensure!(notes.answers > 20, "only {} answers were seen", notes.answers);
        ensure!(notes.broken.is_empty(), "{:?}", notes.broken);
        Ok(())
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look_at_pods(world: &World, namespace: &str, notes: &Mutex<Notes>) {
    for (target, _) in REGIONS {
        // Not by way of the link: this is how it is, not what the source can see.
        let Ok(delegates) = world.delegates(target, namespace).await else {
            continue;
        };
        let ready = delegates.iter().any(is_running);
        if let Some(target) = notes.lock().targets.get_mut(target) {
            target.see(ready && !target.cut);
        }
    }
}

async fn look_at_name(world: &World, host: &str, notes: &Mutex<Notes>) {
    let Ok(addresses) = world.dns.resolver.addresses(host).await else {
        return;
    };
    let mut notes = notes.lock();
    notes.answers += 1;
    let mut broken = BTreeSet::new();
    let named = |target: &str| {
        let own = world.addresses(target);
        addresses.iter().any(|address: &IpAddr| own.has(*address))
    };
    for (name, target) in &notes.targets {
        if named(name) && !target.serves && target.since.elapsed() > LAG {
            broken.insert(format!(
                "{name} is named {} s after its last ready pod",
                target.since.elapsed().as_secs()
            ));
        }
        if addresses.is_empty() && target.serves && target.since.elapsed() > LAG {
            broken.insert(format!("there is no answer, but {name} has a ready pod"));
        }
    }
    notes.broken.extend(broken);
}
