//! Clusters trust each other without shared secrets: identities that the source issues, and targets that believe them.
//!
//! One source; the targets `us`, which believes its certificates, and `eu`, which believes its tokens, by an authenticating
//! proxy each; the target `direct`, whose API server believes its tokens by itself. `cargo test -p multicluster-tests --test
//! trust NAME` runs one of the tests.
#![allow(clippy::unwrap_used)]

mod audit;
mod bad_input;
mod caller;
mod credentials;
mod direct;
mod issuing;
mod jwt;
mod pages;
mod passing;
mod revocation;
mod rotation;
mod tutorial;
mod who_may;
mod world;

use testbed::suite::{fixtures, harness, kubectl, observer, world as clusters};
use world::Test;

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
