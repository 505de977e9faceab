//! What is counted.

use std::sync::atomic::AtomicU64;

use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What is answered with 200.
const PATHS: [&str; 5] = ["containerLogs", "healthz", "metrics/resource", "pods", "stats/summary"];
/// Why there may be no certificate.
const REASONS: [&str; 7] = [
    "APIServerError",
    "CertificateNotApproved",
    "CertificateNotSigned",
    "CertificateNotUsable",
    "CertificateRequestDeleted",
    "CertificateRequestDenied",
    "CertificateRequestFailed",
];

/// Requests of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Kind of the path; `other` where it is none.
    pub path: &'static str,
    /// The HTTP status; 101 for connections that were upgraded.
    pub code: u16,
}

/// Why a certificate is not issued.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// In one word.
    pub reason: &'static str,
}

/// Counters and gauges of the kubelet API. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Requests that were answered.
    pub requests: Family<RequestLabels, Counter>,
    /// Streams that are open.
    pub streams_open: Gauge,
    /// When the served certificate expires.
    pub certificate_expiry: Gauge<i64>,
    /// Certificates that were not issued.
    pub certificate_failures: Family<ReasonLabel, Counter<u64, AtomicU64>>,
}

impl Metrics {
    /// A request was answered.
    pub fn answered(&self, path: &'static str, code: StatusCode) {
        let labels = RequestLabels {
            path,
            code: code.as_u16(),
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Make them visible in `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        // A counter that begins with 1 has no increase.
        for path in PATHS {
            drop(self.requests.get_or_create(&RequestLabels { path, code: 200 }));
        }
        for reason in REASONS {
            drop(self.certificate_failures.get_or_create(&ReasonLabel { reason }));
        }
        let registry = registry.sub_registry_with_prefix("multicluster_kubelet");
        registry.register(
            "requests",
            "Requests to the virtual nodes' kubelet API, by path and HTTP status",
            self.requests.clone(),
        );
        registry.register(
            "streams_open",
            "Logs, exec, attach and port-forward streams that are open",
            self.streams_open.clone(),
        );
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the virtual nodes' serving certificate expires, in seconds since 1970; 0 while none was issued",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
        registry.register(
            "certificate_request_failures",
            "Requests for a serving certificate that came to nothing, by reason",
            self.certificate_failures.clone(),
        );
    }
}
