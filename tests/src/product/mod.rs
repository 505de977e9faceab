//! The product on the testbed: the manifests applied, the components running with the identities that they give.
//!
//! ```text
//! manifests/overlays/source ──▶ source cluster: webhook, extender, second kube-scheduler, agent
//! manifests/overlays/target ──▶ target clusters: agent
//! manifests/overlays/authproxy ─▶ target clusters that have one: the authenticating proxy
//! connect: ClusterSource in the target ─▶ its ServiceAccount's token ─▶ Secret and ClusterTarget in the source
//! ```
//!
//! Components run as processes of this machine instead of pods, with the ServiceAccounts' tokens and the certificates
//! that cert-manager issued; nothing here runs as an administrator but the test itself.

mod authproxy;
mod connect;
mod install;
mod programs;
mod replicas;
mod seat;
mod trust;
mod uninstall;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use futures::future::try_join_all;

pub use authproxy::Authproxy;
pub use connect::{Scope, add_target, grant};
pub use install::{Role, call_webhooks_on, point_at_extender, wait_for_ca};
pub use programs::{Profile, Programs};
pub use replicas::{Replica, Replicas};
pub use seat::{Seat, admin_get};
pub use trust::{Connection, PREFIX, Proof, base64, credentials, identity_authority, object};

use crate::{ClusterOptions, Testbed};

/// Where the product lives in its clusters.
pub const NAMESPACE: &str = "multicluster-scheduler";

/// A source cluster and the targets it is connected to.
pub struct Product {
    /// The source cluster with its components.
    pub source: Seat,
    /// The target clusters by name.
    pub targets: BTreeMap<String, Seat>,
    /// The run.
    pub testbed: Testbed,
}

impl Product {
    /// Start the clusters, install the product in them, and wait for its components. Nothing is connected yet.
    pub async fn start(
        testbed: &Testbed,
        source: ClusterOptions,
        role: Role,
        targets: Vec<ClusterOptions>,
    ) -> Result<Self> {
        Self::start_replicated(testbed, source, role, targets, 1).await
    }

    /// [`Product::start`], with so many replicas of each component in each cluster.
    pub async fn start_replicated(
        testbed: &Testbed,
        source: ClusterOptions,
        role: Role,
        targets: Vec<ClusterOptions>,
        replicas: usize,
    ) -> Result<Self> {
        let programs = Programs::build(&[]).await?;
        Self::start_programs(testbed, source, role, targets, programs, replicas).await
    }

    /// [`Product::start_replicated`] with programs that are built already.
    pub async fn start_programs(
        testbed: &Testbed,
        source: ClusterOptions,
        role: Role,
        targets: Vec<ClusterOptions>,
        programs: Programs,
        replicas: usize,
    ) -> Result<Self> {
        let seats = targets
            .into_iter()
            .map(|options| Seat::start(testbed, options, Role::Target, &programs, replicas));
        let source = Seat::start(testbed, source, role, &programs, replicas);
        let (source, targets) = tokio::try_join!(source, try_join_all(seats))?;
        let targets = targets
            .into_iter()
            .map(|seat| (seat.cluster.name().to_owned(), seat))
            .collect();
        Ok(Self {
            source,
            targets,
            testbed: testbed.clone(),
        })
    }

    /// A target cluster.
    pub fn target(&self, name: &str) -> Result<&Seat> {
        self.targets
            .get(name)
            .with_context(|| format!("no target cluster {name}"))
    }

    /// All clusters, the source first.
    pub fn seats(&self) -> impl Iterator<Item = &Seat> {
        std::iter::once(&self.source).chain(self.targets.values())
    }

    /// Make a namespace in all clusters, and wait until pods can be made there; in the source it is served by the webhook.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let plain = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}");
        let label = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{multicluster-scheduler: enabled}}}}}}"
        );
        let targets = self.targets.values().map(|seat| seat.cluster.apply_yaml(&plain));
        tokio::try_join!(self.source.cluster.apply_yaml(&label), try_join_all(targets))?;
        let accounts = self.seats().map(|seat| seat.cluster.default_service_account(name));
        try_join_all(accounts).await.map(drop)
    }
}

/// The repository's root.
pub fn repository() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}
