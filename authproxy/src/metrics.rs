//! What `/metrics` shows.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use multicluster_certs::CertMetrics;
use multicluster_trust::ProviderRef;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::flights::Flights;
use crate::knowledge::Knowledge;

/// The API server begins its answers after a millisecond or so; watches, too. `logs -f` and lists may take longer.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];
/// Identities that have a label of their own. Those who make them up cannot prove them, but one cluster may have many.
const IDENTITIES: usize = 100;
/// The label of all others.
const OTHER: &str = "other";
/// Reasons that counters begin at 0 for.
const REASONS: [&str; 9] = [
    "KeysUnknown",
    "Malformed",
    "NoCredentials",
    "NotAdmitted",
    "RefusedHeader",
    "RefusedMethod",
    "TwoCredentials",
    "UnknownKey",
    "Unproven",
];

/// Labels of requests.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabel {
    code: u16,
}

/// Labels of denials.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeniedLabels {
    reason: &'static str,
    /// User with its prefix, where it was proven; else empty.
    identity: String,
}

/// Labels of revocations.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CutLabel {
    reason: &'static str,
}

/// Labels of issuers.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProviderLabels {
    namespace: String,
    provider: String,
}

/// Counters and histograms. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<CodeLabel, Counter>,
    denied: Family<DeniedLabels, Counter>,
    identities: Arc<Mutex<BTreeSet<String>>>,
    cut: Family<CutLabel, Counter>,
    upstream: Histogram,
    upstream_errors: Counter,
    key_errors: Family<ProviderLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            requests: Family::default(),
            denied: Family::default(),
            identities: Arc::default(),
            cut: Family::default(),
            upstream: Histogram::new(BUCKETS),
            upstream_errors: Counter::default(),
            key_errors: Family::default(),
        };
        for reason in REASONS {
            let identity = String::new();
            drop(metrics.denied.get_or_create(&DeniedLabels { reason, identity }));
        }
        for reason in ["Revoked", "TrustUnknown"] {
            drop(metrics.cut.get_or_create(&CutLabel { reason }));
        }
        metrics
    }
}

impl Metrics {
    /// A response goes out.
    pub fn answered(&self, code: StatusCode) {
        self.requests.get_or_create(&CodeLabel { code: code.as_u16() }).inc();
    }

    /// Somebody was not let in, for this reason; who, if it was proven.
    pub fn denied(&self, reason: &'static str, identity: Option<&str>) {
        let identity = identity.map_or_else(String::new, |identity| self.identity(identity));
        self.denied.get_or_create(&DeniedLabels { reason, identity }).inc();
    }

    fn identity(&self, identity: &str) -> String {
        let mut known = self.identities.lock();
        if !known.contains(identity) {
            if known.len() >= IDENTITIES {
                return OTHER.into();
            }
            known.insert(identity.to_owned());
        }
        identity.to_owned()
    }

    /// Requests in flight were cut.
    pub fn cut(&self, reason: &'static str, requests: usize) {
        self.cut.get_or_create(&CutLabel { reason }).inc_by(requests as u64);
    }

    /// The API server began to answer after so long.
    pub fn upstream_answered(&self, after: Duration) {
        self.upstream.observe(after.as_secs_f64());
    }

    /// The API server did not answer.
    pub fn upstream_failed(&self) {
        self.upstream_errors.inc();
    }

    /// This issuer's keys will be fetched.
    pub fn expect_keys(&self, provider: &ProviderRef) {
        drop(self.key_errors.get_or_create(&labels(provider)));
    }

    /// This issuer's keys could not be had.
    pub fn key_fetch_failed(&self, provider: &ProviderRef) {
        self.key_errors.get_or_create(&labels(provider)).inc();
    }

    /// Make them visible, with those that are read when asked for.
    pub fn register(
        &self,
        registry: &mut Registry,
        certificate: &CertMetrics,
        knowledge: Arc<Knowledge>,
        flights: Flights,
    ) {
        certificate.register(registry);
        let registry = registry.sub_registry_with_prefix("multicluster_authproxy");
        let help = "Responses by HTTP status, the API server's and the proxy's own";
        registry.register("requests", help, self.requests.clone());
        let help = "Requests that were not let through, by why, and by whom where that was proven";
        registry.register("denied", help, self.denied.clone());
        let help =
            "Requests in flight that were cut: their caller is not trusted any more, or it is not known whom to trust";
        registry.register("cut", help, self.cut.clone());
        let help = "How long the API server took to begin its answers";
        registry.register_with_unit("upstream_duration", help, Unit::Seconds, self.upstream.clone());
        let help = "Requests that the API server did not answer";
        registry.register("upstream_errors", help, self.upstream_errors.clone());
        let help = "Times that an issuer's keys could not be fetched";
        registry.register("key_fetch_errors", help, self.key_errors.clone());
        registry.register_collector(Box::new(State { knowledge, flights }));
    }
}

fn labels(provider: &ProviderRef) -> ProviderLabels {
    ProviderLabels {
        namespace: provider.namespace.clone(),
        provider: provider.name.clone(),
    }
}

/// Gauges of what is known, read when asked for.
struct State {
    knowledge: Arc<Knowledge>,
    flights: Flights,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.flights.counts();
        let known = self.knowledge.last();
        let refused = known
            .trust
            .providers
            .values()
            .filter(|verdict| verdict.is_err())
            .count();
        let gauges = [
            (
                "requests_in_flight",
                "Requests under way, watches among them",
                counts.requests,
            ),
            (
                "upgraded_connections",
                "Connections that speak something else than HTTP by now: exec, attach, port-forward",
                counts.upgraded,
            ),
            (
                "trust_known",
                "1: it is known whom to trust; 0: nobody is let in",
                usize::from(self.knowledge.current().is_some()),
            ),
            (
                "providers_trusted",
                "TrustedIdentityProviders that are believed",
                known.trust.providers.len() - refused,
            ),
            (
                "providers_refused",
                "TrustedIdentityProviders that are not believed: their conditions say why",
                refused,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value as i64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
