//! What `/metrics` shows.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use multicluster_certs::CertMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::bind::Flights;
use crate::index::{Index, Kind};

/// Filters take a fraction of a millisecond, binds up to the scheduler's timeout.
const BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 25.0,
];

/// Labels of requests.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// filter, prioritize, bind or preempt.
    pub verb: &'static str,
    /// What was answered: ok, error, or invalid for a request that could not be read.
    pub result: &'static str,
}

/// Labels of request durations.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct VerbLabels {
    /// filter, prioritize, bind or preempt.
    pub verb: &'static str,
}

/// Labels of binds.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BindLabels {
    /// How it ended: bound, or a word for why not.
    pub outcome: &'static str,
}

/// Labels of targets.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TargetLabels {
    node: String,
    namespace: String,
    target: String,
}

/// Labels of refusals.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Counters and histograms. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Requests.
    pub requests: Family<RequestLabels, Counter>,
    /// Durations of requests.
    pub durations: Family<VerbLabels, Histogram, fn() -> Histogram>,
    /// Binds by how they ended.
    pub binds: Family<BindLabels, Counter>,
    /// Durations of binds by how they ended.
    pub bind_durations: Family<BindLabels, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            binds: Family::default(),
            bind_durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl Metrics {
    /// Make them visible, with those that are read when asked for.
    pub fn register(
        &self,
        registry: &mut Registry,
        certificate: Option<&CertMetrics>,
        index: Arc<Index>,
        flights: Flights,
    ) {
        if let Some(certificate) = certificate {
            certificate.register(registry);
        }
        let registry = registry.sub_registry_with_prefix("multicluster_extender");
        registry.register("requests", "Requests of kube-scheduler", self.requests.clone());
        let help = "How long requests of kube-scheduler took";
        registry.register_with_unit("request_duration", help, Unit::Seconds, self.durations.clone());
        registry.register("binds", "Binds by how they ended", self.binds.clone());
        let help = "How long binds took, by how they ended";
        registry.register_with_unit("bind_duration", help, Unit::Seconds, self.bind_durations.clone());
        registry.register_collector(Box::new(State { index, flights }));
    }
}

/// Gauges of what is known, read when asked for.
struct State {
    index: Arc<Index>,
    flights: Flights,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plain = [
            ("binds_in_flight", "Binds under way", self.flights.len() as i64),
            (
                "placements_in_flight",
                "Placements that no summary shows yet",
                self.index.in_flight() as i64,
            ),
            (
                "failed_pods",
                "Pods that a target refused lately",
                self.index.failures().pods() as i64,
            ),
        ];
        for (name, help, value) in plain {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let (wakes, help) = (
            ConstCounter::new(self.index.counts().wakes()),
            "Times that a virtual node called back the pods it had refused",
        );
        wakes.encode(encoder.encode_descriptor("wakes", help, None, wakes.metric_type())?)?;
        let help = "Virtual nodes that a filter refused to a pod, by why";
        let mut refusals = encoder.encode_descriptor("filter_refusals", help, None, MetricType::Counter)?;
        for kind in Kind::ALL {
            let reason = ReasonLabel { reason: kind.as_str() };
            ConstCounter::new(self.index.counts().refusals(kind)).encode(refusals.encode_family(&reason)?)?;
        }
        let (up, fresh) = (
            Family::<TargetLabels, Gauge>::default(),
            Family::<TargetLabels, Gauge>::default(),
        );
        for (target, connected, takes_pods) in self.index.conditions(Instant::now()) {
            let labels = TargetLabels {
                node: target.virtual_node().as_str().to_owned(),
                namespace: target.namespace.unwrap_or_default(),
                target: target.name,
            };
            up.get_or_create(&labels).set(connected.into());
            fresh.get_or_create(&labels).set(takes_pods.into());
        }
        up.encode(encoder.encode_descriptor("target_up", "The target is connected", None, up.metric_type())?)?;
        let help = "The target is known, its agent is heard of, and it takes pods";
        fresh.encode(encoder.encode_descriptor("target_fresh", help, None, fresh.metric_type())?)
    }
}

type Gauge = prometheus_client::metrics::gauge::Gauge;
