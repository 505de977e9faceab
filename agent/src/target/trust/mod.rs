//! Whom the authenticating proxy may impersonate, and whether a TrustedIdentityProvider is believed.
//!
//! ```text
//! TrustedIdentityProvider ─┐                         ┌─▶ ClusterRole multicluster-authproxy-impersonation: its rules
//! Source, ClusterSource ───┼─▶ index ──decide──▶ role ┤
//! ClusterRole, as it is ───┘                         └─verdict─▶ TrustedIdentityProvider: condition Ready, event
//! ```
//!
//! The proxy decides the same by itself, and lets nobody in whom it does not trust. The role is the second lock: what the
//! API server lets the proxy do, should it be in wrong hands.
//!
//! * [`index`]: what is watched.
//! * [`role`]: what the ClusterRole should say. Pure.
//! * [`verdict`]: what the condition should say. Pure.
//! * [`keeper`]: watches, and writes the role.
//! * [`tell`]: writes the condition.

pub mod index;
pub mod keeper;
pub mod role;
pub mod tell;
pub mod verdict;

#[cfg(test)]
mod tests;
