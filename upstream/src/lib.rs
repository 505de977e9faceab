//! Passing requests on to an API server, as the authenticating proxy and the kubelet API of virtual nodes do it.
//!
//! * [`Upstream`]: an API server, and what a kubeconfig says about the way to it.
//! * [`Body`]: the answer, frame by frame: what the client does not read is not fetched.
//! * [`splice()`]: connections that speak something else than HTTP after an upgrade.
//! * [`headers`]: what of a header is for one connection only.

#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod body;
mod error;
mod forward;
pub mod headers;
mod splice;

pub use body::{Body, Cuttable, Stream};
pub use error::{BoxError, NotUsable, SendError, causes};
pub use forward::{Sent, Upstream};
pub use splice::splice;
