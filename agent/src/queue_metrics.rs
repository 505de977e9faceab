//! Metrics of work queues, under the names that Kubernetes' own controllers use (`workqueue_*`), and whether one stands
//! still.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

/// In seconds, about as client-go's.
const BUCKETS: [f64; 9] = [0.000_1, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// What a queue looks like just now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Keys that are due and wait for a worker.
    pub depth: usize,
    /// For how long keys have been worked on.
    pub running: Vec<Duration>,
    /// Keys are due, and none was taken or given back for so long.
    pub stalled: Option<Duration>,
}

/// A queue that can be looked at.
pub trait Observed: Send + Sync {
    /// Look at it.
    fn look(&self, now: Instant) -> State;
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    name: &'static str,
}

/// Counters of the queues of one name. Clones share them.
#[derive(Clone)]
pub struct QueueMetrics {
    /// Keys that were added, each time.
    pub adds: Counter,
    /// Keys that were tried again after an error.
    pub retries: Counter,
    /// How long keys that were due waited, in seconds.
    pub waited: Histogram,
    /// How long the work on a key took, in seconds.
    pub worked: Histogram,
    queues: Arc<Mutex<Vec<Weak<dyn Observed>>>>,
}

impl Default for QueueMetrics {
    fn default() -> Self {
        Self {
            adds: Counter::default(),
            retries: Counter::default(),
            waited: Histogram::new(BUCKETS),
            worked: Histogram::new(BUCKETS),
            queues: Arc::default(),
        }
    }
}

impl fmt::Debug for QueueMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueMetrics")
    }
}

impl QueueMetrics {
    /// Look at this queue too, for as long as it exists.
    pub fn observe(&self, queue: Weak<dyn Observed>) {
        let mut queues = self.queues.lock();
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(queue);
    }

    fn look(&self, now: Instant) -> State {
        let queues: Vec<_> = self.queues.lock().iter().filter_map(Weak::upgrade).collect();
        queues
            .iter()
            .map(|queue| queue.look(now))
            .fold(State::default(), |all, one| State {
                depth: all.depth + one.depth,
                running: [all.running, one.running].concat(),
                stalled: all.stalled.max(one.stalled),
            })
    }
}

/// How many kinds of queues there are.
const QUEUES: usize = 9;

/// All queues of the agent.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// Delegates of this cluster.
    pub delegates: QueueMetrics,
    /// Proxy pods, one queue for each target.
    pub proxy_pods: QueueMetrics,
    /// Proxy pods that belong to no target.
    pub homeless: QueueMetrics,
    /// What follows pods, one queue for each target.
    pub copies: QueueMetrics,
    /// Selectors of the source's Services.
    pub selectors: QueueMetrics,
    /// What is reached from outside.
    pub exposure: QueueMetrics,
    /// Exported Services: they are read, and say how they are.
    pub exports: QueueMetrics,
    /// Exported Services again, one queue for each cluster that imports them.
    pub imports: QueueMetrics,
    /// Kubeconfigs, whose credentials are issued and renewed.
    pub kubeconfigs: QueueMetrics,
}

impl Queues {
    fn all(&self) -> [(&'static str, &QueueMetrics); QUEUES] {
        [
            ("delegates", &self.delegates),
            ("proxy_pods", &self.proxy_pods),
            ("homeless_proxy_pods", &self.homeless),
            ("copies", &self.copies),
            ("selectors", &self.selectors),
            ("exposure", &self.exposure),
            ("service_exports", &self.exports),
            ("service_imports", &self.imports),
            ("kubeconfigs", &self.kubeconfigs),
        ]
    }

    /// Make them visible in `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        registry
            .sub_registry_with_prefix("workqueue")
            .register_collector(Box::new(self.clone()));
    }

    /// A queue with work on which nothing has moved for `patience`.
    pub fn stalled(&self, patience: Duration) -> Option<&'static str> {
        let now = Instant::now();
        let stalled = |queue: &QueueMetrics| queue.look(now).stalled.is_some_and(|time| time > patience);
        self.all()
            .into_iter()
            .find_map(|(name, queue)| stalled(queue).then_some(name))
    }
}

impl Collector for Queues {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = Instant::now();
        let (depth, unfinished, longest) = (
            Family::<Name, Gauge>::default(),
            Family::<Name, Gauge<f64, std::sync::atomic::AtomicU64>>::default(),
            Family::<Name, Gauge<f64, std::sync::atomic::AtomicU64>>::default(),
        );
        for (name, queue) in self.all() {
            let (name, state) = (Name { name }, queue.look(now));
            depth.get_or_create(&name).set(state.depth as i64);
            let sum: Duration = state.running.iter().sum();
            unfinished.get_or_create(&name).set(sum.as_secs_f64());
            let most = state.running.iter().max().copied().unwrap_or_default();
            longest.get_or_create(&name).set(most.as_secs_f64());
        }
        encode(
            &mut encoder,
            "depth",
            "Keys that are due and wait for a worker",
            None,
            &depth,
        )?;
        let help = "How long the keys that are worked on have been, summed up";
        encode(&mut encoder, "unfinished_work", help, Some(Unit::Seconds), &unfinished)?;
        let help = "How long the key that is worked on longest has been";
        encode(
            &mut encoder,
            "longest_running_processor",
            help,
            Some(Unit::Seconds),
            &longest,
        )?;
        let all = self.all();
        let help = "Keys that were added, each time";
        each(
            &mut encoder,
            "adds",
            help,
            None,
            all.map(|(name, queue)| (name, queue.adds.clone())),
        )?;
        let help = "Keys that were tried again after an error";
        each(
            &mut encoder,
            "retries",
            help,
            None,
            all.map(|(name, queue)| (name, queue.retries.clone())),
        )?;
        let (seconds, help) = (Some(Unit::Seconds), "How long keys that were due waited");
        each(
            &mut encoder,
            "queue_duration",
            help,
            seconds,
            all.map(|(name, queue)| (name, queue.waited.clone())),
        )?;
        let (seconds, help) = (Some(Unit::Seconds), "How long the work on a key took");
        each(
            &mut encoder,
            "work_duration",
            help,
            seconds,
            all.map(|(name, queue)| (name, queue.worked.clone())),
        )
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?)
}

/// One metric of all queues.
fn each<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    metrics: [(&'static str, M); QUEUES],
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(name, help, unit.as_ref(), metrics[0].1.metric_type())?;
    for (name, metric) in &metrics {
        metric.encode(encoder.encode_family(&Name { name })?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::queue::{Outcome, Queue};

    #[tokio::test(start_paused = true)]
    async fn a_queue_whose_workers_hang_stands_still() {
        let queues = Queues::default();
        let queue = Queue::new(&queues.delegates);
        for key in 0..3 {
            queue.add(key);
        }
        queue.add_after(9, Duration::from_secs(3600));
        let stop = CancellationToken::new();
        tokio::spawn({
            let (queue, stop) = (queue.clone(), stop.clone());
            async move { queue.run(2, stop, |_| std::future::pending::<Outcome>()).await }
        });
        tokio::time::sleep(Duration::from_secs(100)).await;
        let state = queues.delegates.look(Instant::now());
        assert_eq!((state.depth, state.running.len()), (1, 2));
        assert_eq!(queues.stalled(Duration::from_secs(200)), None);
        assert_eq!(queues.stalled(Duration::from_secs(60)), Some("delegates"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_nobody_serves_does_not_stand_still() {
        let queues = Queues::default();
        let queue = Queue::new(&queues.proxy_pods);
        queue.add(1);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(queues.stalled(Duration::from_secs(60)), None);
        let mut registry = Registry::default();
        queues.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "workqueue_depth{name=\"proxy_pods\"} 1\n",
            "workqueue_adds_total{name=\"proxy_pods\"} 1\n",
            "workqueue_queue_duration_seconds_count{name=\"proxy_pods\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        drop(queue);
        assert_eq!(queues.proxy_pods.look(Instant::now()), State::default());
    }
}
