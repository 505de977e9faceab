//! Who is believed, and under what name. No I/O.
//!
//! ```text
//! TrustedIdentityProvider ─parse─▶ Provider ─┐
//! Source, ClusterSource ─────────────────────┴─decide─▶ Trust
//!                                                         │
//! client certificate ─▶ certificates ─┐                   ▼
//! bearer token, keys ─▶ tokens ───────┴─▶ Proven ─▶ Trust::admit ─▶ Caller: user and groups, each with a prefix
//! ```
//!
//! * [`identity`]: `ns/NAMESPACE/id/NAME`, the only thing that a caller can be.
//! * [`prefix`]: what is put in front of it.
//! * [`provider`]: a TrustedIdentityProvider, parsed as input from outside.
//! * [`decide`]: which providers are believed, and of which users.
//! * [`caller`]: who calls, or why not.
//! * [`certificates`], [`tokens`]: proof.
//! * [`kubeconfig_spec`]: the other side, what a Kubeconfig asks for.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod caller;
pub mod certificates;
pub mod decide;
pub mod identity;
pub mod kubeconfig_spec;
mod pem;
pub mod prefix;
pub mod provider;
#[cfg(test)]
mod testing;
pub mod tokens;
mod urls;

pub use caller::{Caller, Denied, Evidence, Proven};
pub use decide::{Refusal, Trust, Trusted};
pub use identity::Identity;
pub use prefix::Prefix;
pub use provider::{InvalidProvider, Proof, Provider, ProviderRef};
