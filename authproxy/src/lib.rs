//! The authenticating proxy: identities of other clusters call this cluster's API server.
//!
//! * [`args`]: flags.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod args;
