//! What pods need goes where they go: ConfigMaps, Secrets, Services, Ingresses and HTTPRoutes follow the delegates.
//!
//! ```text
//! pods, their chaperons ─▶ ┐
//! Services ──────────────▶ ├─ needs: which object, in which targets? ─▶ queue of each link ─▶ plan ─▶ the target
//! Ingresses, HTTPRoutes ─▶ ┘                                                                  ▲
//!                                              held: what is there of ours ───────────────────┘
//! ```
//!
//! An object is needed in a target while a pod that uses it is there, or about to be: its chaperon exists. Nothing is
//! written into the source's ConfigMaps and Secrets, and none of them gets a finalizer: what is in a target says itself
//! whose copy it is, and what nothing needs any more is removed.
//!
//! * [`object`]: kinds and keys. [`facts`]: what is known of the source's objects.
//! * [`needs`]: which object is needed where. An index.
//! * [`copy`]: what of an object is written. Pure.
//! * [`recall`]: takes copies back, all at once.
//! * [`held`]: what is there already. [`mod@plan`]: what to do about it. Pure.

pub mod copy;
pub mod facts;
pub mod held;
pub mod needs;
pub mod object;
pub mod plan;
pub mod recall;
