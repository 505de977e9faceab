//! The processes of clusters: their CPU time, and putting them to sleep.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::proc::{cpu_time, machine_cpu_time};
use crate::product::Product;
use crate::{Cluster, Component, Process};

/// Something that consists of processes.
pub trait Processes {
    /// Calls `visit` with each process.
    fn visit(&self, visit: &mut dyn FnMut(&Process) -> Result<()>) -> Result<()>;
}

impl Processes for Cluster {
    fn visit(&self, visit: &mut dyn FnMut(&Process) -> Result<()>) -> Result<()> {
        Component::ALL
            .iter()
            .filter_map(|component| self.component(*component).ok())
            .try_for_each(|process| visit(&process))
    }
}

impl Processes for Product {
    fn visit(&self, visit: &mut dyn FnMut(&Process) -> Result<()>) -> Result<()> {
        for seat in self.seats() {
            seat.cluster.visit(visit)?;
            visit(&seat.agent)?;
            if let Some(front) = &seat.front {
                [&front.scheduler, &front.webhook, &front.extender]
                    .into_iter()
                    .try_for_each(&mut *visit)?;
            }
        }
        Ok(())
    }
}

/// Processes that are stopped (SIGSTOP), and go on when this is dropped.
pub struct Asleep<'a>(&'a dyn Processes);

impl<'a> Asleep<'a> {
    /// Stops all processes.
    pub fn new(processes: &'a dyn Processes) -> Result<Self> {
        let asleep = Self(processes);
        processes.visit(&mut |process| process.pause())?;
        Ok(asleep)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        let wake = self.0.visit(&mut |process| {
            if let Err(error) = process.resume() {
                eprintln!("bench: {error}");
            }
            Ok(())
        });
        if let Err(error) = wake {
            eprintln!("bench: {error}");
        }
    }
}

/// CPU time used so far, by process name; `(bench)` is this program, `(machine)` all of the machine.
#[derive(Clone, Debug, Default)]
pub struct CpuTimes(BTreeMap<String, Duration>);

/// The name under which this program's CPU time is told.
const BENCH: &str = "(bench)";
/// The name under which the CPU time of the whole machine is told.
const MACHINE: &str = "(machine)";

impl CpuTimes {
    /// As of now.
    pub fn now(processes: &dyn Processes) -> Result<Self> {
        let mut times = BTreeMap::from([
            (BENCH.to_owned(), cpu_time(std::process::id())?),
            (MACHINE.to_owned(), machine_cpu_time()?),
        ]);
        processes.visit(&mut |process| {
            times.insert(process.name().to_owned(), cpu_time(process.pid())?);
            Ok(())
        })?;
        Ok(Self(times))
    }

    /// What was used since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let used = |(name, time): (&String, &Duration)| {
            let before = before.0.get(name).copied().unwrap_or_default();
            (name.clone(), time.saturating_sub(before))
        };
        Self(self.0.iter().map(used).collect())
    }

    /// What others on the machine used: this says how quiet it was.
    pub fn others(&self) -> Duration {
        let machine = self.0.get(MACHINE).copied().unwrap_or_default();
        let ours: Duration = self.named().map(|(_, time)| time).sum();
        machine.saturating_sub(ours)
    }

    fn named(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.0
            .iter()
            .filter(|(name, _)| *name != MACHINE)
            .map(|(name, time)| (name.as_str(), *time))
    }

    /// A table, the greatest first.
    pub fn table(&self, elapsed: Duration) -> String {
        let mut rows: Vec<_> = self.named().collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let total: Duration = rows.iter().map(|(_, time)| *time).sum();
        rows.push(("all of these", total));
        rows.push(("all else on the machine", self.others()));
        let mut table = format!("{:>8}  {:>6}  process\n", "CPU s", "cores");
        for (name, time) in rows {
            let cores = time.as_secs_f64() / elapsed.as_secs_f64();
            table += &format!("{:>8.2}  {cores:>6.2}  {name}\n", time.as_secs_f64());
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(times: &[(&str, u64)]) -> CpuTimes {
        CpuTimes(
            times
                .iter()
                .map(|(name, seconds)| ((*name).to_owned(), Duration::from_secs(*seconds)))
                .collect(),
        )
    }

    #[test]
    fn what_was_used_and_by_whom() {
        let before = times(&[(MACHINE, 100), (BENCH, 1), ("etcd", 5)]);
        let after = times(&[(MACHINE, 120), (BENCH, 2), ("etcd", 8), ("kwok", 4)]);
        let used = after.since(&before);
        assert_eq!(used.others(), Duration::from_secs(20 - 1 - 3 - 4));
        let table = used.table(Duration::from_secs(10));
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[1], "    4.00    0.40  kwok");
        assert_eq!(lines[4], "    8.00    0.80  all of these");
        assert_eq!(lines[5], "   12.00    1.20  all else on the machine");
    }
}
