//! The cluster's own kube-scheduler carries the extender, instead of a second one.
#![allow(clippy::unwrap_used)]
fn main() {}
