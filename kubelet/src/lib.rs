//! The kubelet API of virtual nodes: logs, exec, attach, port-forward and metrics of delegates.

#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod metrics;
pub mod nodes;
