//! What `/metrics/resource` answers: Prometheus' text format, with the names, labels and helps of
//! `k8s.io/kubernetes/pkg/kubelet/metrics/collectors/resource_metrics.go`.

use std::fmt;

use super::summary::{ContainerStats, CpuStats, MemoryStats, PodStats, Summary};

/// The text. `error` says that the target could not be asked last time: what is shown then is older, or nothing.
pub struct ResourceMetrics<'a> {
    /// What is shown.
    pub summary: &'a Summary,
    /// The target could not be asked.
    pub error: bool,
}

impl fmt::Display for ResourceMetrics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summary, error } = self;
        let (pods, error) = (&summary.pods, u8::from(*error));
        let containers = || pods.iter().flat_map(|pod| pod.containers.iter().map(move |c| (pod, c)));

        head(
            f,
            "container_cpu_usage_seconds_total",
            "counter",
            "STABLE",
            "Cumulative cpu time consumed by the container in core-seconds",
        )?;
        for (pod, container, cpu) in containers().filter_map(|(pod, c)| Some((pod, c, c.cpu?))) {
            write!(f, "container_cpu_usage_seconds_total{} ", of_container(pod, container))?;
            cpu_value(f, cpu)?;
        }
        head(
            f,
            "container_memory_working_set_bytes",
            "gauge",
            "STABLE",
            "Current working set of the container in bytes",
        )?;
        for (pod, container, memory) in containers().filter_map(|(pod, c)| Some((pod, c, c.memory?))) {
            write!(f, "container_memory_working_set_bytes{} ", of_container(pod, container))?;
            memory_value(f, memory)?;
        }
        head(
            f,
            "container_start_time_seconds",
            "gauge",
            "STABLE",
            "Start time of the container since unix epoch in seconds",
        )?;
        for (pod, container) in containers() {
            let seconds = container.start_time.as_millisecond() as f64 / 1e3;
            writeln!(
                f,
                "container_start_time_seconds{} {seconds}",
                of_container(pod, container)
            )?;
        }
        head(
            f,
            "node_cpu_usage_seconds_total",
            "counter",
            "STABLE",
            "Cumulative cpu time consumed by the node in core-seconds",
        )?;
        if let Some(cpu) = summary.node.cpu {
            f.write_str("node_cpu_usage_seconds_total ")?;
            cpu_value(f, cpu)?;
        }
        head(
            f,
            "node_memory_working_set_bytes",
            "gauge",
            "STABLE",
            "Current working set of the node in bytes",
        )?;
        if let Some(memory) = summary.node.memory {
            f.write_str("node_memory_working_set_bytes ")?;
            memory_value(f, memory)?;
        }
        head(
            f,
            "pod_cpu_usage_seconds_total",
            "counter",
            "STABLE",
            "Cumulative cpu time consumed by the pod in core-seconds",
        )?;
        for (pod, cpu) in pods.iter().filter_map(|pod| Some((pod, pod.cpu?))) {
            write!(f, "pod_cpu_usage_seconds_total{} ", of_pod(pod))?;
            cpu_value(f, cpu)?;
        }
        head(
            f,
            "pod_memory_working_set_bytes",
            "gauge",
            "STABLE",
            "Current working set of the pod in bytes",
        )?;
        for (pod, memory) in pods.iter().filter_map(|pod| Some((pod, pod.memory?))) {
            write!(f, "pod_memory_working_set_bytes{} ", of_pod(pod))?;
            memory_value(f, memory)?;
        }
        let help = "1 if there was an error while getting container metrics, 0 otherwise";
        head(f, "resource_scrape_error", "gauge", "STABLE", help)?;
        writeln!(f, "resource_scrape_error {error}")?;
        head(
            f,
            "scrape_error",
            "gauge",
            "ALPHA",
            &format!("(Deprecated since 1.29.0) {help}"),
        )?;
        writeln!(f, "scrape_error {error}")
    }
}

fn head(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, stability: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP {name} [{stability}] {help}\n# TYPE {name} {kind}")
}

fn of_container(pod: &PodStats, container: &ContainerStats) -> String {
    let (container, namespace, pod) = (escaped(&container.name), &pod.pod_ref.namespace, &pod.pod_ref.name);
    format!(
        "{{container=\"{container}\",namespace=\"{}\",pod=\"{}\"}}",
        escaped(namespace),
        escaped(pod)
    )
}

fn of_pod(pod: &PodStats) -> String {
    let (namespace, name) = (escaped(&pod.pod_ref.namespace), escaped(&pod.pod_ref.name));
    format!("{{namespace=\"{namespace}\",pod=\"{name}\"}}")
}

/// A label's value. The API server lets no name have these characters; the format does.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Seconds, and the time in milliseconds.
fn cpu_value(f: &mut fmt::Formatter<'_>, cpu: CpuStats) -> fmt::Result {
    let seconds = cpu.usage_core_nano_seconds as f64 / 1e9;
    writeln!(f, "{seconds} {}", cpu.time.as_millisecond())
}

fn memory_value(f: &mut fmt::Formatter<'_>, memory: MemoryStats) -> fmt::Result {
    writeln!(f, "{} {}", memory.working_set_bytes, memory.time.as_millisecond())
}
