//! What the kernel counts of processes: `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// CPU time that a process has used so far, with all its threads, in user and kernel mode.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    Ok(to_duration(process_ticks(&text).context(path)?))
}

/// CPU time that all processes of the machine have used so far, the kernel's own included.
pub fn machine_cpu_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
    Ok(to_duration(machine_ticks(&text).context("/proc/stat")?))
}

/// Memory that a process has in RAM, in MiB.
pub fn rss_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    Ok(rss_kib(&text).context(path)? as f64 / 1024.0)
}

fn to_duration(ticks: u64) -> Duration {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}

/// utime + stime, fields 14 and 15. The second field, the name in parentheses, may contain anything.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// All but idle and iowait of the first line; guest time is part of user time already.
fn machine_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Option<Vec<u64>> = fields.take(8).map(|field| field.parse().ok()).collect();
    let ticks = ticks?;
    let idle: u64 = ticks.get(3..5)?.iter().sum();
    Some(ticks.iter().sum::<u64>() - idle)
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_a_process_with_a_strange_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 9 0 1000 0 0";
        assert_eq!(process_ticks(stat), Some(300));
        assert_eq!(process_ticks("42 (a"), None);
    }

    #[test]
    fn ticks_of_the_machine() {
        let stat = "cpu  100 1 20 5000 300 2 3 4 99 98\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(machine_ticks(stat), Some(130));
    }

    #[test]
    fn resident_memory() {
        assert_eq!(rss_kib("VmPeak:\t 9 kB\nVmRSS:\t   15360 kB\n"), Some(15360));
        assert_eq!(rss_kib("Name: zombie\n"), None);
    }

    #[test]
    fn this_process() {
        let pid = std::process::id();
        assert!(rss_mib(pid).unwrap() > 1.0);
        assert!(cpu_time(pid).unwrap() <= machine_cpu_time().unwrap());
    }
}
