//! The webhook as the API server sees it: over TLS, good and bad reviews.

#![allow(clippy::unwrap_used)]

mod bad_requests;
mod client;
mod metrics;
mod reviews;
