//! What fails: targets, links, the source. Every test stops something that others need, so each runs alone.
//!
//! The clusters are those of the other end-to-end tests; the ways to the targets are links that a test can disturb.
#![allow(clippy::unwrap_used)]

mod links;
mod mass;
mod never_twice;
mod observer;
mod offline;
mod source;

use harness::Test;
use testbed::suite::{fixtures, harness, support, world};

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
