//! The kubelet API of the virtual nodes, as far as it needs to know this cluster and its targets.
//!
//! * [`usage`]: what delegates use.

pub mod usage;
