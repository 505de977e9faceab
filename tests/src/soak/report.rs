//! What a run found: for people, and as one JSON object for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::history::Window;
use super::memory::Comparison;
use super::recovery::Recovery;
use super::rules::Violation;
use super::schedule::How;
use crate::bench::percentiles::Durations;

/// What a run found.
pub struct Report {
    /// The run's seed and length: with them it is done again.
    pub seed: u64,
    /// Its length.
    pub minutes: f64,
    /// What was broken.
    pub faults: Vec<Window>,
    /// What became of each.
    pub recoveries: Vec<Recovery>,
    /// The components' memory.
    pub memory: Vec<Comparison>,
    /// How often the clusters were looked at.
    pub looks: usize,
    /// The longest time between two looks at the source.
    pub longest_gap: Duration,
    /// Changes by users, and those among them that could not be made.
    pub changes: (usize, usize),
    /// Promises that were broken.
    pub violations: Vec<Violation>,
}

impl Report {
    fn durations(&self) -> Durations {
        let measured = self.recoveries.iter().filter_map(|recovery| match recovery {
            Recovery::After(duration) => Some(*duration),
            Recovery::Overtaken => None,
        });
        measured.collect()
    }

    /// How many faults were made.
    pub fn broken(&self) -> usize {
        self.faults.iter().filter(|fault| fault.how.is_some()).count()
    }

    /// Write the numbers to a file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let recoveries = self.durations();
        let object = json!({
            "soak_minutes": self.minutes,
            "soak_seed": self.seed,
            "soak_faults": self.broken(),
            "soak_violations": self.violations.len(),
            "recover_p50_s": recoveries.percentile(50.0).as_secs_f64(),
            "recover_p99_s": recoveries.percentile(99.0).as_secs_f64(),
        });
        std::fs::write(path, format!("{object:#}\n")).with_context(|| path.display().to_string())
    }

    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for fault in &self.faults {
            let how = match fault.how {
                None => "ended by itself".to_owned(),
                Some(How::Network(network)) => {
                    let text = format!("{network:?}");
                    text.split('(').next().unwrap_or_default().to_lowercase()
                }
                Some(how) => how.to_string(),
            };
            *counts.entry(format!("{}: {how}", fault.subject)).or_default() += 1;
        }
        counts
    }

    /// What was broken at a time, or up to a minute before.
    fn broken_about(&self, at: Duration) -> String {
        let before = at.saturating_sub(Duration::from_secs(60));
        let mut near: Vec<_> = self
            .faults
            .iter()
            .filter(|fault| fault.from <= at && fault.end() >= before)
            .collect();
        near.sort_by_key(|fault| fault.from);
        let words = near.iter().map(|fault| {
            let how = fault.how.map_or("ended by itself".to_owned(), |how| how.to_string());
            let until = fault
                .to
                .map_or("now".to_owned(), |to| format!("{:.1}", to.as_secs_f64()));
            let mark = if fault.covers(at) { "*" } else { "" };
            format!(
                "{mark}{} {how} {:.1}–{until} s",
                fault.subject,
                fault.from.as_secs_f64()
            )
        });
        let words: Vec<_> = words.collect();
        if words.is_empty() {
            "nothing".to_owned()
        } else {
            words.join("; ")
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults")?;
        for (fault, count) in self.counts() {
            writeln!(f, "  {count:3} × {fault}")?;
        }
        let recoveries = self.durations();
        let seconds = |percent| recoveries.percentile(percent).as_secs_f64();
        writeln!(
            f,
            "recoveries: {} measured, {} overtaken by the next fault; p50 {:.1} s, p99 {:.1} s",
            recoveries.len(),
            self.recoveries.len() - recoveries.len(),
            seconds(50.0),
            seconds(99.0)
        )?;
        for (fault, recovery) in self.faults.iter().zip(&self.recoveries) {
            if let Recovery::After(duration) = recovery
                && *duration >= Duration::from_secs(20)
            {
                let how = fault.how.map_or("ended by itself".to_owned(), |how| how.to_string());
                let (subject, at) = (fault.subject, fault.from.as_secs_f64());
                writeln!(
                    f,
                    "  slow: {:.1} s after {subject} {how} at {at:.1} s",
                    duration.as_secs_f64()
                )?;
            }
        }
        writeln!(f, "memory at half time and in the end, MiB")?;
        for Comparison {
            subject,
            half,
            end,
            restarted,
        } in &self.memory
        {
            let note = if *restarted { "  (another process by now)" } else { "" };
            writeln!(f, "  {half:6.1} {end:6.1}  {subject}{note}")?;
        }
        let (changes, failed) = self.changes;
        writeln!(f, "changes by users: {changes} tries, {failed} given up")?;
        let gap = self.longest_gap.as_secs_f64();
        writeln!(
            f,
            "looks: {}, at most {gap:.1} s between two that the source answered",
            self.looks
        )?;
        writeln!(f, "violations: {}", self.violations.len())?;
        for violation in &self.violations {
            writeln!(
                f,
                "  {:6.1} s  {}: {}",
                violation.at.as_secs_f64(),
                violation.rule,
                violation.what
            )?;
            writeln!(
                f,
                "            broken then (*) or shortly before: {}",
                self.broken_about(violation.at)
            )?;
        }
        write!(
            f,
            "the same again: make soak SOAK_SEED={} SOAK_MINUTES={}",
            self.seed, self.minutes
        )
    }
}
