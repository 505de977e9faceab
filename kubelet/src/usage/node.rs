//! What the delegates of one virtual node use, under the names of their proxy pods.
//!
//! The target's metrics API tells rates; what a kubelet tells are counters. So the rates are summed up here: for each
//! container from its start on, and for the pod and the node over all of theirs. Who leads anew begins anew: metrics-server
//! then misses one sample.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::counter::Counter;
use super::reading::{Reading, Sample, Usage};
use super::summary::{ContainerStats, CpuStats, MemoryStats, NodeStats, PodReference, PodStats, Summary};

/// What is older says nothing about now; unless the target measures less often.
const OLD: SignedDuration = SignedDuration::from_mins(1);

/// A proxy pod on the virtual node, with its delegate.
#[derive(Clone, Debug, PartialEq)]
pub struct Delegated {
    /// The proxy pod.
    pub proxy: PodReference,
    /// UID of the delegate: another one of the same name begins anew.
    pub delegate_uid: String,
    /// Name of the delegate. Its namespace is the proxy pod's.
    pub delegate: String,
    /// When the delegate was started.
    pub started: Option<Timestamp>,
    /// Its containers that run, and since when. Others of the delegate's (what the target has added) are not the proxy
    /// pod's, and not shown.
    pub running: BTreeMap<String, Timestamp>,
}

/// What is remembered of one virtual node.
#[derive(Debug)]
pub struct NodeMetrics {
    name: String,
    since: Timestamp,
    /// What the target's clock said, and when.
    clock: Option<(Timestamp, Instant)>,
    /// By the UID of the delegate.
    pods: HashMap<String, Pod>,
    cpu: Option<Counter>,
}

#[derive(Debug, Default)]
struct Pod {
    containers: BTreeMap<String, Container>,
    cpu: Option<Counter>,
}

/// One run of a container.
#[derive(Debug)]
struct Container {
    started: Timestamp,
    /// Until when it is counted.
    cpu: Counter,
    /// Of the last sample.
    usage: Usage,
    window: SignedDuration,
}

impl NodeMetrics {
    /// Nothing is known yet.
    pub fn new(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            since: now,
            clock: None,
            pods: HashMap::new(),
            cpu: None,
        }
    }

    /// Count what the target says of these pods. Nothing is kept of others.
    pub fn take(&mut self, reading: &Reading, pods: &[Delegated]) {
        self.clock = Some((reading.at, reading.taken));
        for pod in pods {
            let Some(sample) = reading.get(&pod.proxy.namespace, &pod.delegate) else {
                continue;
            };
            let known = self.pods.entry(pod.delegate_uid.clone()).or_default();
            for (name, started) in &pod.running {
                if let Some(usage) = sample.containers.get(name) {
                    known.take(name, *started, *usage, sample);
                }
            }
        }
    }

    /// What is to be shown of these pods now. Those that are not among them are forgotten.
    pub fn summary(&mut self, pods: &[Delegated], now: Instant) -> Summary {
        let present: HashSet<_> = pods.iter().map(|pod| pod.delegate_uid.as_str()).collect();
        self.pods.retain(|uid, _| present.contains(uid.as_str()));
        let mut shown: Vec<_> = match self.clock {
            Some((there, taken)) => {
                let elapsed =
                    SignedDuration::try_from(now.saturating_duration_since(taken)).unwrap_or(SignedDuration::MAX);
                let known = &mut self.pods;
                pods.iter()
                    .filter_map(|pod| known.get_mut(&pod.delegate_uid)?.stats(pod, there, elapsed))
                    .collect()
            }
            None => Vec::new(),
        };
        shown.sort_by(|a, b| (&a.pod_ref.namespace, &a.pod_ref.name).cmp(&(&b.pod_ref.namespace, &b.pod_ref.name)));
        let node = NodeStats {
            node_name: self.name.clone(),
            start_time: self.since,
            cpu: sum_cpu(&mut self.cpu, shown.iter().map(|pod| pod.cpu)),
            memory: sum_memory(shown.iter().map(|pod| pod.memory)),
        };
        Summary { node, pods: shown }
    }
}

impl Pod {
    fn take(&mut self, name: &str, started: Timestamp, usage: Usage, sample: &Sample) {
        // It tells of the run before.
        if sample.at <= started {
            return;
        }
        let window = sample.window;
        let known = self.containers.get_mut(name).filter(|known| known.started == started);
        if let Some(known) = known {
            // Of several servers of the metrics API, one may be behind.
            if sample.at > known.cpu.at() {
                known.cpu.advance(usage.nano_cores.unwrap_or_default(), sample.at);
                (known.usage, known.window) = (usage, window);
            }
            return;
        }
        // Nothing is known of what it used before the window.
        let begin = sample.at.checked_sub(window).unwrap_or(started).max(started);
        let mut cpu = Counter::new(begin);
        cpu.advance(usage.nano_cores.unwrap_or_default(), sample.at);
        let container = Container {
            started,
            cpu,
            usage,
            window,
        };
        self.containers.insert(name.to_owned(), container);
    }

    /// `there` is the target's time `elapsed` ago.
    fn stats(&mut self, pod: &Delegated, there: Timestamp, elapsed: SignedDuration) -> Option<PodStats> {
        self.containers
            .retain(|name, known| pod.running.get(name) == Some(&known.started));
        let fresh = self
            .containers
            .iter()
            .filter(|(_, known)| known.age(there, elapsed) <= OLD.max(known.window * 2));
        let containers: Vec<_> = fresh.map(|(name, known)| known.stats(name)).collect();
        let (cpus, memories) = (containers.iter().map(|c| c.cpu), containers.iter().map(|c| c.memory));
        let (cpu, memory) = (sum_cpu(&mut self.cpu, cpus), sum_memory(memories));
        (!containers.is_empty()).then(|| PodStats {
            pod_ref: pod.proxy.clone(),
            start_time: pod.started,
            containers,
            cpu,
            memory,
        })
    }
}

impl Container {
    fn age(&self, there: Timestamp, elapsed: SignedDuration) -> SignedDuration {
        there.duration_since(self.cpu.at()).saturating_add(elapsed)
    }

    fn stats(&self, name: &str) -> ContainerStats {
        let time = self.cpu.at();
        ContainerStats {
            name: name.to_owned(),
            start_time: self.started,
            cpu: self.usage.nano_cores.map(|nano_cores| CpuStats {
                time,
                usage_nano_cores: nano_cores,
                usage_core_nano_seconds: self.cpu.total(),
            }),
            memory: self.usage.bytes.map(|bytes| MemoryStats {
                time,
                working_set_bytes: bytes,
            }),
        }
    }
}

/// The sum of what is used now, up to the latest of its times. It has a counter of its own: when a part of it ends, what
/// that has used was used nevertheless.
fn sum_cpu(counter: &mut Option<Counter>, parts: impl Iterator<Item = Option<CpuStats>>) -> Option<CpuStats> {
    let parts = parts.flatten();
    let sum = parts.map(|part| (part.time, part.usage_nano_cores, part.usage_core_nano_seconds));
    let (time, nano_cores, total) =
        sum.reduce(|a, b| (a.0.max(b.0), a.1.saturating_add(b.1), a.2.saturating_add(b.2)))?;
    let counter = counter.get_or_insert_with(|| Counter::with(time, total));
    counter.advance(nano_cores, time);
    Some(CpuStats {
        time: counter.at(),
        usage_nano_cores: nano_cores,
        usage_core_nano_seconds: counter.total(),
    })
}

fn sum_memory(parts: impl Iterator<Item = Option<MemoryStats>>) -> Option<MemoryStats> {
    parts.flatten().reduce(|a, b| MemoryStats {
        time: a.time.max(b.time),
        working_set_bytes: a.working_set_bytes.saturating_add(b.working_set_bytes),
    })
}
