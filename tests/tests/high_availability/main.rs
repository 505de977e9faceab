//! Two replicas of each component: one goes, and users do not notice.
//!
//! The clusters are those of the other end-to-end tests. Every test stops replicas, so each runs alone.
#![allow(clippy::unwrap_used)]
// Not every helper of the other end-to-end tests is needed here.
#![allow(dead_code)]

mod agents;
#[path = "../e2e/fixtures.rs"]
mod fixtures;
#[path = "../e2e/harness.rs"]
mod harness;
mod leader;
mod observer;
mod rolling;
mod servers;
#[path = "../e2e/world.rs"]
mod world;

use harness::Test;
use world::World;

fn main() {
    let tests: Vec<Test> = [agents::tests(), servers::tests(), rolling::tests()]
        .into_iter()
        .flatten()
        .collect();
    harness::main("high-availability", tests, |testbed| {
        World::start_replicated(testbed, 2)
    });
}
