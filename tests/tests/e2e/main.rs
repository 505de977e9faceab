//! The product on real control planes: what users do, and what goes wrong.
//!
//! One source and two targets serve all tests; each test has a namespace of its own. `cargo test -p multicluster-tests
//! --test e2e NAME` runs one of them.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod capacity;
mod deletion;
mod edited_targets;
mod fargate;
mod interruptions;
mod opting_in;
mod placement;
mod targets;
mod who_may;
mod workloads;

use harness::Test;
use testbed::suite::{fixtures, harness, world};

fn main() {
    let tests: Vec<Test> = [
        opting_in::tests(),
        fargate::tests(),
        placement::tests(),
        capacity::tests(),
        workloads::tests(),
        deletion::tests(),
        targets::tests(),
        edited_targets::tests(),
        bad_input::tests(),
        interruptions::tests(),
        who_may::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    harness::main("e2e", tests, world::World::start);
}
