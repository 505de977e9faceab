//! Serving over TLS, as the webhook, the extender, the agent and the authenticating proxy do it.
//!
//! ```text
//! certificate, key, client CA (files) ──poll──▶ Material ──check──▶ rustls ServerConfig ──swap──▶ ServingTls
//!                                                                                                  │ current()
//!                                                     client ──TCP──▶ serve() ──handshake──────────┘──▶ Handler
//! ```
//!
//! * [`ServingArgs`]: the flags.
//! * [`ServingTls`]: the configuration that new connections get; swapped without a restart when a file changes.
//! * [`serve()`]: an accept loop that slow, silent or many clients cannot stop; [`serve_plain()`] for the admin port.
//! * [`Handler`]: what answers the requests: an axum `Router`, or anything else that wants to know of whom they are.
//! * [`dev`]: a certificate authority for tests and for trying things by hand (feature `dev`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod client_names;
mod crowd;
#[cfg(feature = "dev")]
pub mod dev;
mod error;
mod handler;
mod heads;
mod judged;
mod limits;
mod material;
mod metrics;
mod requests;
mod serve;
mod serving_tls;

pub use args::ServingArgs;
pub use error::CertError;
pub use handler::{BoxError, Handler, Held, Peer};
pub use judged::ClientCertificates;
pub use limits::Limits;
pub use metrics::CertMetrics;
pub use requests::RequestBody;
pub use serve::{serve, serve_plain};
pub use serving_tls::{RELOAD_INTERVAL, ServingTls};
