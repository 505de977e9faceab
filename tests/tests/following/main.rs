//! What pods need follows them, and what they serve is found: ConfigMaps, Secrets, Services, Ingresses, HTTPRoutes, their
//! status, and names.
//!
//! One source and two targets, `us` and `eu`, behind links that a test can disturb; load balancers in the targets; DNS.
//! `cargo test -p multicluster-tests --test following NAME` runs one of the tests.
#![allow(clippy::unwrap_used)]

mod endpoint_slices;
mod files;
mod files_and_failures;
mod files_changed;
mod files_in_order;
mod files_refused;
mod many_objects;
mod multi_cluster_services;
mod names_in_dns;
mod objects;
mod routes;
mod rule;
mod selectors;
mod services;
mod services_changed;
mod status;
mod tutorial;
mod web;
mod world;

use testbed::suite::{fixtures, harness, support, world as clusters};
use world::Test;

fn main() {
    let tests: Vec<Test> = [
        tutorial::tests(),
        files::tests(),
        files_changed::tests(),
        files_in_order::tests(),
        files_refused::tests(),
        files_and_failures::tests(),
        services::tests(),
        services_changed::tests(),
        selectors::tests(),
        routes::tests(),
        status::tests(),
        names_in_dns::tests(),
        endpoint_slices::tests(),
        many_objects::tests(),
        multi_cluster_services::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    harness::main("following", tests, world::World::start);
}
