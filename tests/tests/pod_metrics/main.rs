//! What delegates use is seen in the source: `kubectl top`, autoscalers, the summaries of virtual nodes.
//!
//! One source and the targets `eu` and `us`, with a metrics-server each; what their pods use, kwok makes up.
#![allow(clippy::unwrap_used)]
// Not every helper of the other end-to-end tests is needed here.
#![allow(dead_code)]

mod autoscaler;
mod away;
#[path = "../e2e/world.rs"]
mod clusters;
#[path = "../e2e/fixtures.rs"]
mod fixtures;
#[path = "../e2e/harness.rs"]
mod harness;
mod top;
mod world;

use harness::Test;

fn main() {
    let tests: Vec<Test> = [top::tests(), autoscaler::tests(), away::tests()]
        .into_iter()
        .flatten()
        .collect();
    harness::main("pod_metrics", tests, world::World::start);
}
