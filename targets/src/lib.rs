//! Connections to target clusters: made, kept, and made anew when their spec or credentials change.
//!
//! ```text
//! Target, ClusterTarget ──watch──▶ supervise ──one task a target──▶ drive ──▶ Runner::run(target, client)
//!                                                  Secret ──watch──▶  │  └──▶ Runner::failed(target, why)
//!                                                                     ▼
//!                                                         kubeconfig ▶ connection ▶ Client
//! ```
//!
//! * [`mod@supervise`]: which targets there are. No restart of the process when one comes, changes or goes.
//! * [`kubeconfig`]: what a Secret says, parsed as input from outside.
//! * `connection`: a client whose credentials are replaced while it works; `user`: whether they are the same user's.
//! * [`secret`]: where the kubeconfig is.
//! * [`error`]: why a target cannot be connected, in words for its owner.
//! * [`identity`]: who the source is in a target.
//! * [`mod@cluster_name`]: what the source cluster is called in its targets.
//!
//! A bad target harms itself alone: its task waits for its Secret to be mended.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cluster_name;
mod connection;
pub mod error;
pub mod identity;
pub mod kubeconfig;
pub mod secret;
pub mod supervise;
mod user;
pub mod watching;

pub use cluster_name::cluster_name;
pub use connection::Upstreams;
pub use error::ConnectError;
pub use supervise::{Runner, supervise};
