//! What end-to-end tests have in common: how they are run, the clusters that most of them share, objects that they make, and what
//! they ask and watch.
#![allow(clippy::unwrap_used)]

pub mod fixtures;
pub mod harness;
pub mod kubectl;
pub mod leader;
pub mod observer;
pub mod support;
pub mod world;
