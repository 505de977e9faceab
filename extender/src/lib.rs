//! The kube-scheduler extender: which virtual nodes can run a pod, and the binding of proxy pods.
//!
//! ```text
//! source cluster                                       each target cluster
//!
//!  Target, ClusterTarget, Secret ──watch──┐             ┌──watch── ClusterSummary   heartbeat, sums
//!                                         ▼             ▼
//!  Namespace (labelled) ──watch───────▶ │             │
//!  kube-scheduler ──filter, prioritize──▶ Index ◀──watch── NodeSummary   labels, taints, free amounts by node
//!        │                                ▲   ▲ │
//!        │                        assume, │   │ └─wake──▶ Node (virtual): annotation ─▶ kube-scheduler tries again
//!        │                        forget  │   └──watch── PodChaperon   ours: scheduled? unschedulable?
//!        │                                │                   ▲
//!        └──bind──────────────────────▶ Binder ──POST, DELETE─┘
//!                Pod ◀──GET, POST Binding─┘
//! ```
//!
//! * [`core`]: types and decisions, pure. [`core::fit`]: is there a node; [`core::inflight`]: what is on its way;
//!   [`core::delegate`]: what is sent to the target.
//! * [`index`]: what is known of all targets. Watch events in, verdicts out, without waiting.
//! * [`bind`]: the way of a pod into a target.
//! * [`watch`], [`namespaces`], [`wake`], [`handlers`], [`run`], [`args`], [`metrics`], [`wire`]: the thin rest.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod args;
pub mod bind;
pub mod core;
pub mod handlers;
pub mod index;
pub mod metrics;
pub mod namespaces;
pub mod run;
#[cfg(any(feature = "synthetic", test))]
pub mod synthetic;
pub mod trace;
pub mod wake;
pub mod watch;
pub mod wire;
