//! Metrics of the serving certificate.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What to alert on: a certificate near its end, or files that do not load. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct CertMetrics {
    /// When the served certificate expires, in seconds since 1970.
    pub expiry: Gauge,
    /// Times that new files were taken into use.
    pub reloads: Counter,
    /// Times that new files were broken; the certificate from before stays in use.
    pub reload_failures: Counter,
}

impl CertMetrics {
    /// Make them visible in `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("multicluster_certificate");
        registry.register_with_unit(
            "expiry_timestamp",
            "When the served certificate expires, in seconds since 1970",
            Unit::Seconds,
            self.expiry.clone(),
        );
        registry.register(
            "reloads",
            "Times that changed certificate files were taken into use",
            self.reloads.clone(),
        );
        registry.register(
            "reload_failures",
            "Times that changed certificate files were broken and the old ones stayed in use",
            self.reload_failures.clone(),
        );
    }
}
