//! Uninstalling: nothing of this system stays behind.
//!
//! ```text
//! kubectl delete -k ──▶ SIGTERM ──▶ at_exit ──┐
//!                                             ├──▶ cleaner ──▶ chaperons, virtual nodes, proxy pods, delegates, bindings
//! make uninstall ─────────────────▶ command ──┘       └ plan: which objects are ours. Pure.
//! ```
//!
//! * [`at_exit`]: the agent's own clean-up, with the rights that [`rights`] keeps for it.
//! * [`command`]: the same with an administrator's rights, when no agent runs that could do it.

pub mod at_exit;
pub mod cleaner;
pub mod command;
pub mod plan;
pub mod rights;
