//! What delegates use, asked of their targets when somebody asks the virtual node.
//!
//! ```text
//! GET /metrics/resource ──▶ Link ──▶ target (one question at a time, not too often) ──▶ fetch ──▶ metrics.k8s.io there
//!                                      └──▶ multicluster_kubelet::usage (what is shown)
//! ```
//!
//! * [`delegated`]: which pods are shown, and under which names. Pure.
//! * [`fetch`]: the question to a target.
//! * [`problem`]: why there is no answer; [`trouble`]: when that is told. Pure.
//! * [`target`]: what is known of one target.
//! * [`answers`]: what readers get.

pub mod answers;
pub mod delegated;
pub mod fetch;
pub mod problem;
pub mod target;
pub mod trouble;

#[cfg(test)]
mod tests;
