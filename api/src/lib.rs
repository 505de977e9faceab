//! What all components share: custom resources, names, and how they are read. No I/O.
//!
//! ```text
//! source cluster                                  target cluster
//!   Target / ClusterTarget ── kubeconfig ──▶        Source / ClusterSource   who may send pods here
//!   Pod (proxy)            ── parent-uid ──▶        PodChaperon ─owns─▶ Pod (delegate)
//!   Node (virtual)         ◀─────────────           ClusterSummary, NodeSummary
//! ```
//!
//! * [`names`]: every label, annotation, finalizer and taint key.
//! * [`target`], [`source`], [`chaperon`], [`summary`]: the custom resources, `multicluster.admiralty.io/v1alpha1`.
//! * [`kubeconfig`], [`trusted_identity_provider`]: how clusters come to believe each other.
//! * [`virtual_node`]: a target's identity and the name of its virtual node.
//! * [`options`]: what a user asks for by pod annotations, parsed.
//! * [`fence`]: how a delegate stops when its source has fallen silent.
//! * [`labels`]: how label keys change on the way to a target.
//! * [`quantity`], [`resources`]: amounts, and what a pod requests.
//! * [`references`]: which ConfigMaps and Secrets a pod uses.
//! * [`selectors`]: how a Service's selector changes on the way to a target.
//! * [`syntax`]: which keys and values the API server accepts.
//! * [`view`]: objects as far as watches need them.
//! * [`raw`]: pods as JSON, so that fields newer than this program survive the journey.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod chaperon;
pub mod crds;
pub mod fence;
pub mod kubeconfig;
pub mod labels;
pub mod names;
pub mod options;
pub mod quantity;
pub mod raw;
pub mod references;
pub mod resources;
pub mod selectors;
pub mod source;
pub mod summary;
pub mod syntax;
pub mod target;
pub mod trusted_identity_provider;
pub mod view;
pub mod virtual_node;

pub use chaperon::{DelegateRef, PodChaperon, PodChaperonSpec, PodChaperonStatus};
pub use kubeconfig::{Kubeconfig, KubeconfigSpec, KubeconfigStatus};
pub use source::{ClusterSource, ClusterSourceSpec, Source, SourceSpec};
pub use summary::{ClusterSummary, ClusterSummaryFields, NodeEntry, NodeSummary, NodeSummaryFields};
pub use target::{ClusterTarget, ClusterTargetSpec, Target, TargetSpec, TargetStatus};
pub use trusted_identity_provider::{
    TrustedIdentityProvider, TrustedIdentityProviderSpec, TrustedIdentityProviderStatus,
};
pub use virtual_node::{TargetRef, VirtualNodeName};
