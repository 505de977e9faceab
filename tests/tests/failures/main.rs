//! What fails: targets, links, the source. Every test stops something that others need, so each runs alone.
//!
//! The clusters are those of the other end-to-end tests; the ways to the targets are links that a test can disturb.
#![allow(clippy::unwrap_used)]
// Not every helper of the other end-to-end tests is needed here.
#![allow(dead_code)]

#[path = "../e2e/fixtures.rs"]
mod fixtures;
#[path = "../e2e/harness.rs"]
mod harness;
mod links;
mod mass;
mod never_twice;
mod observer;
mod offline;
mod source;
mod support;
#[path = "../e2e/world.rs"]
mod world;

use harness::Test;

fn main() {
    let tests: Vec<Test> = [
        links::tests(),
        offline::tests(),
        mass::tests(),
        source::tests(),
        never_twice::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    harness::main("failures", tests, world::World::start_linked);
}
