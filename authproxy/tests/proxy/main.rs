//! The proxy between real connections: TLS in front, an API server of the test behind.

#![allow(clippy::unwrap_used)]

mod binary;
mod client;
mod cluster;
mod denied;
mod fetching;
mod following;
mod passing;
mod revoked;
mod server;
mod smuggling;
mod tokens;
mod upgrades;
mod world;
