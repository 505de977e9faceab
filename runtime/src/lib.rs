//! What every binary needs around its work: flags, logs, an admin port, shutdown.
//!
//! * [`log`]: log level and format.
//! * [`cluster`]: a client for the cluster that a component serves.
//! * [`admin`]: `/metrics`, `/livez`, `/readyz`.
//! * [`health`]: what the last two answer.
//! * [`metrics`]: metrics that every binary has.
//! * [`trace`]: spans for OpenTelemetry.
//! * [`shutdown`]: SIGTERM and SIGINT as a token that work can wait for.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admin;
pub mod cluster;
pub mod health;
pub mod log;
pub mod metrics;
pub mod shutdown;
pub mod trace;
