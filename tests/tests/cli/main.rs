//! `kubectl multicluster`, as a person uses it: one kubeconfig with all clusters, and nothing but the command.
//!
//! `cargo test -p multicluster-tests --test cli NAME` runs one of the tests.
#![allow(clippy::unwrap_used)]
// Not every helper of the other end-to-end tests is needed here.
#![allow(dead_code)]

mod bad_input;
mod checking;
#[path = "../e2e/world.rs"]
mod clusters;
mod connecting;
mod explaining;
#[path = "../e2e/fixtures.rs"]
mod fixtures;
#[path = "../e2e/harness.rs"]
mod harness;
mod world;

use harness::Test;

fn main() {
    let tests: Vec<Test> = [
        connecting::tests(),
        bad_input::tests(),
        explaining::tests(),
        checking::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    harness::main("cli", tests, world::World::start);
}
