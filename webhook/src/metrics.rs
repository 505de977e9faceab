//! Metrics of the requests.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    path: &'static str,
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabel {
    path: &'static str,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Allowed as it is.
    Allowed,
    /// Allowed with changes.
    Patched,
    /// The object was denied.
    Denied {
        /// Kubernetes' word for why.
        reason: &'static str,
    },
    /// The request was none that can be answered.
    Refused {
        /// A word for why.
        reason: &'static str,
    },
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Patched => "patched",
            Self::Denied { .. } => "denied",
            Self::Refused { .. } => "refused",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Allowed | Self::Patched => "",
            Self::Denied { reason } | Self::Refused { reason } => reason,
        }
    }
}

/// In seconds: a review takes some ten microseconds, the API server's patience ends at 10 to 30 seconds.
const BUCKETS: [f64; 12] = [
    0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.1, 1.0, 10.0,
];

/// Metrics of the requests. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<PathLabel, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl Metrics {
    /// Make them visible in `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("multicluster_webhook");
        registry.register("requests", "Admission requests", self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's header to its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
    }

    /// Count a request.
    pub fn observe(&self, path: &'static str, ending: Ending, took: Duration) {
        let (result, reason) = (ending.as_str(), ending.reason());
        let labels = RequestLabels { path, result, reason };
        self.requests.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&PathLabel { path })
            .observe(took.as_secs_f64());
    }
}
