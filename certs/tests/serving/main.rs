//! The server as its clients see it.

#![allow(clippy::unwrap_used)]

mod clients;
mod crowds;
mod errors;
mod handlers;
mod reload;
mod requests;
mod server;
mod shutdown;
