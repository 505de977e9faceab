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
//! * [`originals`]: what the source has. [`copies`]: what a target has of it. Indexes. [`listing`]: are they whole?
//! * [`copy`]: what of an object is written. Pure.
//! * [`recall`]: takes copies back, all at once.
//! * [`held`]: what is there already. [`mod@plan`]: what to do about it. Pure.
//! * [`refusal`]: what a target's answers mean. Pure. [`raw`]: calls.
//! * [`follower`]: what is known of one target, [`followers`]: of all. [`progress`]: how far its copies are. [`gates`]: which
//!   delegates wait for files. [`hub`]: joins all of this; [`watch`]: feeds it.
//! * [`fetched`]: one question to the source for all targets.
//! * [`shown`], [`view`]: what exposure needs to know. [`reroute`]: the selectors of the source's own Services.

pub mod copies;
pub mod copy;
pub mod facts;
pub mod fetched;
pub mod follower;
pub mod followers;
pub mod gates;
pub mod held;
pub mod hub;
pub mod listing;
pub mod needs;
pub mod object;
pub mod originals;
pub mod plan;
pub mod progress;
pub mod raw;
pub mod recall;
pub mod refusal;
pub mod reroute;
pub mod shown;
pub mod view;
pub mod watch;
