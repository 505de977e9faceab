//! Metrics that every binary has: the process, its requests to API servers, its watches.
//!
//! Requests and watches are counted for the whole process, as client-go counts its own: clients are made in many places,
//! and all of them should be seen.

mod process;
pub mod rest;
pub mod watches;

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Version of this build, as `multicluster_build_info` shows it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Make them visible in `/metrics`.
pub fn register(registry: &mut Registry) {
    registry.register(
        "multicluster_build",
        "The version that runs",
        Info::new([("version", VERSION)]),
    );
    registry.register_collector(Box::new(process::Process::default()));
    rest::register(registry);
    watches::register(registry);
}
