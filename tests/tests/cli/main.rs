//! `kubectl multicluster`, as a person uses it: one kubeconfig with all clusters, and nothing but the command.
//!
//! `cargo test -p multicluster-tests --test cli NAME` runs one of the tests.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod checking;
mod connecting;
mod explaining;
mod world;

use testbed::suite::{fixtures, harness, world as clusters};
use world::Test;

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
