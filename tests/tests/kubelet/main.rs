//! People talk to delegates through the virtual nodes: logs, exec, attach, port-forward, with the source's API server between.
//!
//! The source's API server verifies the virtual nodes' serving certificate, which lives for a minute and is renewed all the
//! time. `cargo test -p multicluster-tests --test kubelet NAME` runs one of the tests.
#![allow(clippy::unwrap_used)]

mod failing;
mod many;
mod strangers;
mod talking;
mod world;

use testbed::suite::{fixtures, harness, kubectl, leader, world as clusters};
use world::Test;

fn main() {
    let tests: Vec<Test> = [talking::tests(), strangers::tests(), failing::tests(), many::tests()]
        .into_iter()
        .flatten()
        .collect();
    harness::main("kubelet", tests, world::World::start);
}
