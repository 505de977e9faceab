//! The authenticating proxy: identities of other clusters call this cluster's API server.
//!
//! ```text
//! TrustedIdentityProviders, Sources, ClusterSources ──watch──▶ Knowledge: Trust, and since when
//!                                                                 │               │ changes
//! client ──TLS──▶ Authenticator ──Caller──▶ headers ──▶ Flights ──┼──▶ Upstream   ▼
//!   certificate       │    ▲                  who it is    what is under way    Revoker: cuts
//!   or token          │    └─ Keys ◀─fetch─ issuers
//!                     └─ Denials: log, Event, metric
//! ```
//!
//! Who calls is what a [`multicluster_trust::Trust`] makes of a certificate or a token; the API server gets the request with
//! the proxy's own credentials and `Impersonate-User`, and RBAC there decides on it as on anybody's.
//!
//! * [`knowledge`], [`watch`]: whom to trust; nobody, when that has not been heard for a few seconds.
//! * [`authenticate`], [`keys`], [`jwks`]: who calls.
//! * [`headers`], and the crate [`multicluster_upstream`]: what passes, both ways.
//! * [`flights`], [`revoke`]: what is under way, and how it is cut.
//! * [`denials`], [`past`], [`events`], [`metrics`], [`status`]: what people and clients are told.
//! * [`proxy`]: a request's way through all that.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod args;
pub mod authenticate;
pub mod denials;
pub mod events;
pub mod flights;
pub mod headers;
pub mod jwks;
pub mod keys;
pub mod knowledge;
pub mod metrics;
pub mod past;
pub mod proxy;
pub mod revoke;
pub mod run;
pub mod status;
pub mod watch;
