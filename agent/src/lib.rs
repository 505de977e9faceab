//! Keeps virtual nodes, delegate pods, their statuses and the summaries of clusters in step.
//!
//! One agent runs in every cluster. Where pods come from it does the work of [`source`], where they go to that of
//! [`target`]; a cluster may be both.
//!
//! Deciding is apart from doing: `decide`, `status`, `health`, `summary` and `virtual_node` take values and return
//! values; the other modules read, ask them, and act.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api_error;
pub mod cli;
pub mod events;
pub mod follow;
pub mod home;
pub mod merge;
pub mod metrics;
pub mod queue;
pub mod run;
pub mod source;
pub mod target;
pub mod uninstall;
