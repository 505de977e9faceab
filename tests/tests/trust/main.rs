//! Clusters trust each other without shared secrets: identities that the source issues, and targets that believe them.
//!
//! One source; the targets `us`, which believes its certificates, and `eu`, which believes its tokens, by an authenticating
//! proxy each; the target `direct`, whose API server believes its tokens by itself. `cargo test -p multicluster-tests --test
//! trust NAME` runs one of the tests.
#![allow(clippy::unwrap_used)]
// Not every helper of the other end-to-end tests is needed here.
#![allow(dead_code)]

mod audit;
mod bad_input;
mod caller;
#[path = "../e2e/world.rs"]
mod clusters;
mod credentials;
mod direct;
#[path = "../e2e/fixtures.rs"]
mod fixtures;
#[path = "../e2e/harness.rs"]
mod harness;
mod issuing;
mod jwt;
mod kubectl;
#[path = "../high_availability/observer.rs"]
mod observer;
mod pages;
mod passing;
mod revocation;
mod rotation;
mod tutorial;
mod who_may;
mod world;

use harness::Test;

fn main() {
    let tests: Vec<Test> = [
        tutorial::tests(),
        passing::tests(),
        rotation::tests(),
        revocation::tests(),
        bad_input::tests(),
        who_may::tests(),
        issuing::tests(),
        credentials::tests(),
        direct::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    harness::main("trust", tests, world::World::start);
}
