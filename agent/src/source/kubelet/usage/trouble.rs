//! When to tell that a target does not say what delegates use: once it lasts, once it is another problem, and when it is
//! over. Never at each scrape. Pure.

use std::time::{Duration, Instant};

use super::problem::Problem;

/// What has lasted for so long is told; most is over sooner (a metrics-server is replaced, a call is slow).
const LASTING: Duration = Duration::from_secs(30);

/// What is wrong, since when, and what of it was told.
#[derive(Debug, Default)]
pub struct Trouble {
    since: Option<Instant>,
    told: Option<&'static str>,
}

impl Trouble {
    /// Is there any?
    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// It went wrong once more. Is it to be told?
    pub fn failed(&mut self, problem: &Problem, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let lasts = now.saturating_duration_since(since) >= LASTING;
        lasts && self.told.replace(problem.reason()) != Some(problem.reason())
    }

    /// It went well. Is that to be told?
    pub fn over(&mut self) -> bool {
        self.since = None;
        self.told.take().is_some()
    }
}
