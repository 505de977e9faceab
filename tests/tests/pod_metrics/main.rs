//! What delegates use is seen in the source: `kubectl top`, autoscalers, the summaries of virtual nodes.
//!
//! One source and the targets `eu` and `us`, with a metrics-server each; what their pods use, kwok makes up.
#![allow(clippy::unwrap_used)]

mod autoscaler;
mod away;
mod top;
mod world;

use testbed::suite::{fixtures, harness, world as clusters};
use world::Test;

fn main() {
    let tests: Vec<Test> = [top::tests(), autoscaler::tests(), away::tests()]
        .into_iter()
        .flatten()
        .collect();
    harness::main("pod_metrics", tests, world::World::start);
}
