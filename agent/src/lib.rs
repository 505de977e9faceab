//! Keeps virtual nodes, delegate pods, their statuses and the summaries of clusters in step.
//!
//! Agents run in every cluster. Where pods come from they do the work of [`source`], where they go to that
//! of [`target`]; a cluster may be both. Of several agents in a cluster one works: [`leader`].
//!
//! Deciding is apart from doing: `decide`, `status`, `health`, `summary` and `virtual_node` take values and return
//! values; the other modules read, ask them, and act.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api_error;
pub mod changes;
pub mod cli;
pub mod events;
#[cfg(test)]
pub mod fake;
pub mod home;
pub mod leader;
pub mod merge;
pub mod metrics;
pub mod queue;
pub mod queue_metrics;
pub mod run;
pub mod source;
pub mod target;
pub mod troubles;
pub mod uninstall;
