//! What Linux tells of this process, under the names that all Prometheus clients use.
//!
//! See <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>. Read when asked for; what cannot be
//! read is left out.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Ticks a second in `/proc/self/stat`: `USER_HZ`, which is 100 on every architecture that the images are built for.
const TICKS: f64 = 100.0;

/// Reads `/proc/self`.
#[derive(Debug, Default)]
pub(super) struct Process {
    _private: (),
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let stat = Stat::parse(&stat);
        if let Some(stat) = &stat {
            let cpu = ConstCounter::new(stat.cpu_seconds);
            let help = "CPU time, user and system";
            cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), cpu.metric_type())?)?;
        }
        let system = fs::read_to_string("/proc/stat").unwrap_or_default();
        let start = stat.and_then(|stat| Some(boot_time(&system)? + stat.start_seconds));
        gauge(
            &mut encoder,
            "process_start_time",
            "Start, since 1970",
            Some(Unit::Seconds),
            start,
        )?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bytes = |field| number_after(&status, field).map(|kibibytes| kibibytes * 1024.0);
        let resident = bytes("VmRSS:");
        gauge(
            &mut encoder,
            "process_resident_memory",
            "Memory in RAM",
            Some(Unit::Bytes),
            resident,
        )?;
        let size = bytes("VmSize:");
        gauge(
            &mut encoder,
            "process_virtual_memory",
            "Address space",
            Some(Unit::Bytes),
            size,
        )?;
        let threads = number_after(&status, "Threads:");
        gauge(&mut encoder, "process_threads", "Threads", None, threads)?;
        let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        gauge(&mut encoder, "process_open_fds", "Open file descriptors", None, open)?;
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let most = number_after(&limits, "Max open files");
        gauge(
            &mut encoder,
            "process_max_fds",
            "Most file descriptors that may be open",
            None,
            most,
        )
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    value: Option<f64>,
) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)
}

/// The parts of `/proc/self/stat` that count here: see proc_pid_stat(5).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// After boot.
    start_seconds: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in brackets, which may hold blanks and brackets itself.
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // Field 3 of the manual page is the first one here.
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
        Some(Self {
            cpu_seconds: ticks(14)? + ticks(15)?,
            start_seconds: ticks(22)?,
        })
    }
}

fn boot_time(text: &str) -> Option<f64> {
    number_after(text, "btime")
}

/// The first number after a word at the beginning of a line.
fn number_after(text: &str, word: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_moves_no_field() {
        let text = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 4 0 4200 99 1";
        let expected = Stat {
            cpu_seconds: 2.0,
            start_seconds: 42.0,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("7 (cut off"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(Process::default()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for name in [
            "process_cpu_seconds_total ",
            "process_start_time_seconds ",
            "process_resident_memory_bytes ",
            "process_virtual_memory_bytes ",
            "process_threads ",
            "process_open_fds ",
            "process_max_fds ",
        ] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name} in {text}");
        }
    }
}
