//! Admission: makes proxy pods of elected pods, and refuses what cannot work.
//!
//! ```text
//! API server ──POST──▶ server ──bytes──▶ review::Request ──▶ mutate | validate ──▶ Verdict ──▶ review ──▶ API server
//!                      (I/O)             (decode)            (pure)                            (encode)
//! ```
//!
//! * [`review`]: the AdmissionReview as it comes and goes.
//! * [`object`]: the parts of a pod that are looked at, borrowed from the review.
//! * [`mutate`]: an elected pod becomes a proxy pod; [`scheduling`] says where that may run, [`manifest`] keeps the pod
//!   as it was submitted.
//! * [`validate`]: pods, Targets and Sources that cannot work are refused with a message that says what to write.
//! * [`server`]: paths, limits, metrics. No Kubernetes client, no I/O on the way of a request.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod args;
pub mod config;
pub mod manifest;
pub mod metrics;
pub mod mutate;
pub mod object;
pub mod review;
pub mod run;
pub mod scheduling;
pub mod server;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod validate;
pub mod verdict;
