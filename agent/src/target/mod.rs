//! The target side: chaperons become delegate pods, and sources learn what this cluster has.
//!
//! ```text
//! PodChaperon ──▶ delegates ──create, delete──▶ Pod (delegate) ──▶ kube-scheduler ──▶ node
//!      ▲ status ◀────┘  ▲                         │
//!                       └────────── pods ◀────────┤
//! Node ───────────────▶ summaries ◀───────────────┘
//!                          └──▶ ClusterSummary, NodeSummary
//! delegates ◀── fence: sources that have fallen silent ◀── PodChaperon: their echoes of our heartbeats
//! Source, ClusterSource ──▶ grants ──▶ ServiceAccount, RoleBinding, ClusterRoleBinding
//!             └─▶ trust ◀── TrustedIdentityProvider
//!                   └──▶ ClusterRole: whom the authenticating proxy may impersonate
//! ```

pub mod any_source;
pub mod decide;
mod delegate_pod;
pub mod delegates;
pub mod fence;
pub mod grants;
pub mod index;
pub mod pods;
pub mod publish;
pub mod summary;
pub mod trust;
