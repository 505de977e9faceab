//! Serving over TLS, as the webhook, the extender and the agent do it.
//!
//! ```text
//! certificate, key, client CA (files) ──poll──▶ Material ──check──▶ rustls ServerConfig ──swap──▶ ServingTls
//!                                                                                                  │ current()
//!                                                     client ──TCP──▶ serve() ──handshake──────────┘──▶ axum Router
//! ```
//!
//! * [`ServingArgs`]: the flags.
//! * [`ServingTls`]: the configuration that new connections get; swapped without a restart when a file changes.
//! * [`serve()`]: an accept loop that slow, silent or many clients cannot stop; [`serve_plain()`] for the admin port.
//! * [`dev`]: a certificate authority for tests and for trying things by hand (feature `dev`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod client_names;
mod crowd;
#[cfg(feature = "dev")]
pub mod dev;
mod error;
mod material;
mod metrics;
mod requests;
mod serve;
mod serving_tls;

pub use args::ServingArgs;
pub use error::CertError;
pub use metrics::CertMetrics;
pub use serve::{Limits, serve, serve_plain};
pub use serving_tls::{RELOAD_INTERVAL, ServingTls};
