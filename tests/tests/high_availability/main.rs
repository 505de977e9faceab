//! Two replicas of each component: one goes, and users do not notice.
//!
//! The clusters are those of the other end-to-end tests. Every test stops replicas, so each runs alone.
#![allow(clippy::unwrap_used)]

mod agents;
mod rolling;
mod servers;

use harness::Test;
use testbed::suite::{fixtures, harness, leader, observer, world};
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
