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
//! * [`serve()`]: an accept loop that one slow or silent client cannot stop.
//! * [`dev`]: a certificate authority for tests and for trying things by hand (feature `dev`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod client_names;
#[cfg(feature = "dev")]
pub mod dev;
mod error;
mod material;
mod metrics;
mod serve;
mod serving_tls;

pub use args::ServingArgs;
pub use error::CertError;
pub use metrics::CertMetrics;
pub use serve::{Limits, serve};
pub use serving_tls::{RELOAD_INTERVAL, ServingTls};
