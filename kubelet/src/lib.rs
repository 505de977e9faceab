//! The kubelet API of virtual nodes: logs, exec, attach, port-forward and metrics of delegates.
//!
//! ```text
//! client CA (ConfigMap) ─▶ ClientCa ─┐        ┌── Nodes: which delegate, in which target (the agent)
//! TokenReview, SubjectAccessReview ─▶ Gate    │
//!                                    ▼        ▼
//! API server ──TLS──▶ Path ──▶ who, may they? ──▶ pass ──▶ the target's API server
//!               ▲                                  bytes, as they come, both ways
//! Certificate: CertificateSigningRequest, renewed
//! ```
//!
//! * [`paths`], [`query`]: what is asked for, and how an API server is asked for it. Pure.
//! * [`gate`], with [`client_ca`], [`caller`] and [`reviews`]: who is let in.
//! * [`nodes`]: what the agent knows.
//! * [`pass`], [`flight`]: the way to the target, and back.
//! * [`usage`]: what delegates use. Pure.
//! * [`certificate`], [`request`]: the serving certificate.
//! * [`server`]: a request's way through all that. [`run`]: puts the parts together. [`failure`], [`metrics`]: what people are told.

#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod caller;
pub mod certificate;
pub mod client_ca;
pub mod failure;
pub mod flight;
pub mod gate;
pub mod metrics;
pub mod nodes;
pub mod pass;
pub mod paths;
pub mod query;
pub mod request;
pub mod reviews;
pub mod run;
pub mod server;
pub mod usage;
