//! The memory of the product's components, at half time and in the end.

use std::collections::BTreeMap;

use anyhow::Result;

use super::At;
use super::rules::{Rule, Violation};
use super::schedule::Subject;
use super::world::World;
use crate::bench::proc::rss_mib;

/// How much of its value at half time memory may grow by.
const GROWTH: f64 = 0.2;
/// Growth that counts for nothing, in MiB: other pods are there, and allocators keep some of what is given back.
const FLOOR_MIB: f64 = 4.0;

/// A process and its memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Use {
    /// The process's id: another one is another life.
    pub pid: u32,
    /// Memory in RAM.
    pub mib: f64,
}

/// The memory of all components.
pub type Memory = BTreeMap<Subject, Use>;

/// Read the memory of all components.
pub fn read(world: &World) -> Result<Memory> {
    let one = |subject| {
        let pid = world.process(subject)?.pid();
        let mib = rss_mib(pid)?;
        Ok((subject, Use { pid, mib }))
    };
    World::components().map(one).collect()
}

/// A component's memory, compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Whose.
    pub subject: Subject,
    /// At half time.
    pub half: f64,
    /// In the end.
    pub end: f64,
    /// It was another process at half time, so its growth since then says little.
    pub restarted: bool,
}

impl Comparison {
    /// More than it may be.
    pub fn has_grown(&self) -> bool {
        self.end > self.half * (1.0 + GROWTH) + FLOOR_MIB
    }
}

/// Compare. Of a process that was started since, this says only that it needs no more than the one before.
pub fn compare(half: &Memory, end: &Memory) -> Vec<Comparison> {
    let both = end
        .iter()
        .filter_map(|(subject, end)| Some((*subject, half.get(subject)?, end)));
    let compared = both.map(|(subject, half, end)| Comparison {
        subject,
        half: half.mib,
        end: end.mib,
        restarted: half.pid != end.pid,
    });
    compared.collect()
}

/// What has grown too much.
pub fn violations(compared: &[Comparison], at: At) -> Vec<Violation> {
    let grown = compared.iter().filter(|comparison| comparison.has_grown());
    let violation = |comparison: &Comparison| Violation {
        rule: Rule::Memory,
        at,
        what: format!(
            "{} has {:.1} MiB, after {:.1} MiB at half time",
            comparison.subject, comparison.end, comparison.half
        ),
    };
    grown.map(violation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_counts_from_a_fifth_and_a_floor() {
        let memory = |pid, mib| Memory::from([(Subject::Webhook, Use { pid, mib })]);
        let grown = |end| !violations(&compare(&memory(1, 20.0), &memory(1, end)), At::ZERO).is_empty();
        assert!(!grown(10.0));
        assert!(!grown(27.9));
        assert!(grown(28.1));
        assert!(compare(&memory(1, 20.0), &memory(2, 5.0))[0].restarted);
    }
}
