//! What `/livez` and `/readyz` answer: named checks, in the form that Kubernetes' own servers have.
//!
//! A check is asked when a probe comes, so that its answer is never older than the probe.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// `Err` says why not.
type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Named checks. Clones share them.
#[derive(Clone, Default)]
pub struct Checks(Arc<Mutex<BTreeMap<String, Check>>>);

/// What must be true for a component to do its work. A probe that fails takes it out of its Service.
pub type Readiness = Checks;

impl Checks {
    /// Ask this each time. A check of the same name is replaced.
    pub fn add(&self, name: impl Into<String>, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.0.lock().insert(name.into(), Arc::new(check));
    }

    /// Fail until [`Self::set`] says otherwise.
    pub fn expect(&self, name: &'static str) {
        self.set(name, false);
    }

    /// Say whether a part is ready, until it is said anew.
    pub fn set(&self, name: &'static str, ready: bool) {
        self.add(name, move || ready.then_some(()).ok_or_else(|| "not yet".into()));
    }

    fn remove(&self, name: &str) {
        self.0.lock().remove(name);
    }

    /// Ask all checks, or the one of this name.
    pub fn report(&self, only: Option<&str>) -> Report {
        // A check may take locks of its own: not under ours.
        let checks: Vec<_> = self
            .0
            .lock()
            .iter()
            .filter(|(name, _)| only.is_none_or(|only| only == *name))
            .map(|(name, check)| (name.clone(), check.clone()))
            .collect();
        Report(checks.into_iter().map(|(name, check)| (name, check())).collect())
    }
}

/// What checks have said, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report(Vec<(String, Result<(), String>)>);

impl Report {
    /// All checks passed.
    pub fn passed(&self) -> bool {
        self.0.iter().all(|(_, outcome)| outcome.is_ok())
    }

    /// There are no such checks.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A line for each check, as Kubernetes writes them.
    pub fn text(&self, endpoint: &str) -> String {
        let mut text = String::new();
        for (name, outcome) in &self.0 {
            // Writing to a string does not fail.
            let _ = match outcome {
                Ok(()) => writeln!(text, "[+]{name} ok"),
                Err(reason) => writeln!(text, "[-]{name} failed: {reason}"),
            };
        }
        let verdict = if self.passed() { "passed" } else { "failed" };
        text + &format!("{endpoint} check {verdict}\n")
    }
}

/// What must go on for a process to be alive. A probe that fails restarts it, so only what a restart mends belongs
/// here, and nothing that depends on another server alone.
#[derive(Clone, Default)]
pub struct Liveness(Checks);

impl Liveness {
    /// A loop that shows a sign of life at least every `patience`, until the pulse is dropped.
    pub fn pulse(&self, name: impl Into<String>, patience: Duration) -> Pulse {
        let (name, last) = (name.into(), Arc::new(Mutex::new(Instant::now())));
        let seen = last.clone();
        self.0.add(name.clone(), move || {
            let silent = seen.lock().elapsed();
            match silent <= patience {
                true => Ok(()),
                false => Err(format!("no progress for {} s", silent.as_secs())),
            }
        });
        Pulse {
            last,
            name,
            checks: self.0.clone(),
        }
    }

    /// The checks.
    pub fn checks(&self) -> &Checks {
        &self.0
    }
}

/// Signs of life of one loop.
pub struct Pulse {
    last: Arc<Mutex<Instant>>,
    name: String,
    checks: Checks,
}

impl Pulse {
    /// The loop goes round.
    pub fn beat(&self) {
        *self.last.lock() = Instant::now();
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.checks.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_what_failed() {
        let checks = Checks::default();
        checks.expect("targets");
        checks.add("certificate", || Err("expired".into()));
        assert!(!checks.report(None).passed());
        checks.set("targets", true);
        assert!(checks.report(Some("targets")).passed());
        assert!(checks.report(Some("nothing")).is_empty());
        let text = "[-]certificate failed: expired\n[+]targets ok\nreadyz check failed\n";
        assert_eq!(checks.report(None).text("readyz"), text);
    }

    #[test]
    fn a_loop_that_stands_still_is_dead_and_one_that_ended_is_not() {
        let live = Liveness::default();
        let pulse = live.pulse("work", Duration::from_millis(20));
        assert!(live.checks().report(None).passed());
        std::thread::sleep(Duration::from_millis(40));
        assert!(!live.checks().report(None).passed());
        pulse.beat();
        assert!(live.checks().report(None).passed());
        std::thread::sleep(Duration::from_millis(40));
        drop(pulse);
        assert!(live.checks().report(None).is_empty());
    }
}
