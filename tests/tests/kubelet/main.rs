//! People talk to delegates through the virtual nodes: logs, exec, attach, port-forward, with the source's API server between.
//!
//! The source's API server verifies the virtual nodes' serving certificate, which lives for a minute and is renewed all the
//! time. `cargo test -p multicluster-tests --test kubelet NAME` runs one of the tests.
#![allow(clippy::unwrap_used)]
// Not every helper of the other end-to-end tests is needed here.
#![allow(dead_code)]

#[path = "../e2e/world.rs"]
mod clusters;
mod failing;
#[path = "../e2e/fixtures.rs"]
mod fixtures;
#[path = "../e2e/harness.rs"]
mod harness;
#[path = "../trust/kubectl.rs"]
mod kubectl;
#[path = "../high_availability/leader.rs"]
mod leader;
mod many;
mod strangers;
mod talking;
mod world;

use harness::Test;

fn main() {
    let tests: Vec<Test> = [talking::tests(), strangers::tests(), failing::tests(), many::tests()]
        .into_iter()
        .flatten()
        .collect();
    harness::main("kubelet", tests, world::World::start);
}
