//! The clusters that all tests share: a source, and the target `us`, the way to which can be disturbed.

use std::collections::BTreeMap;
use std::ops::Deref;

use anyhow::{Context, Result};
use testbed::product::{Product, Role, Scope};
use testbed::{ClusterOptions, KeyPair, Link, NodePool, Streams, Testbed, eventually};

use super::clusters;
pub use super::clusters::SOON;
use super::fixtures::Template;
use super::kubectl::Kubectl;
use super::leader::leader;
use testbed::wire::Door;

/// The virtual node.
pub const NODE: &str = "admiralty-us";

/// A test in this world.
pub type Test = super::harness::Test<World>;

/// The clusters that all tests share.
pub struct World {
    clusters: clusters::World,
    /// What the target's pods say and answer.
    pub streams: Streams,
    /// kubectl of the source's administrator.
    pub kubectl: Kubectl,
}

impl World {
    /// Start the clusters and connect them.
    pub async fn start(testbed: Testbed) -> Result<Self> {
        let streams = Streams::start(testbed.dir()).await?;
        let mut source = ClusterOptions::new("source", []);
        let authority = testbed.dir().join("source/pki/ca.crt");
        source.apiserver_args = vec![format!("--kubelet-certificate-authority={}", authority.display())];
        source.controller_manager_args = vec!["--cluster-signing-duration=60s".into()];
        let mut target = ClusterOptions::new("us", [NodePool::new("us", 2)]);
        target.kwok_config = streams.kwok_config();
        let product = Product::start_replicated(&testbed, source, Role::Source, vec![target], 2).await?;
        let link = Link::to(&product.target("us")?.cluster, 1).await?;
        product.connect_through(&link, "us", Scope::Cluster).await?;
        let cluster = &product.source.cluster;
        let program = testbed.binaries().find("kubectl")?;
        let kubectl = Kubectl::new(&program, &cluster.kubeconfig());
        Ok(Self {
            clusters: clusters::World {
                product,
                links: BTreeMap::from([("us".to_owned(), link)]),
            },
            streams,
            kubectl,
        })
    }

    /// A pod that runs in the target; in a namespace of its own.
    pub async fn pod(&self, namespace: &'static str) -> Result<()> {
        super::fixtures::namespace(self, namespace).await?;
        self.apply(&Template::elected().pod(namespace, "web")).await?;
        self.running(namespace, 1).await?;
        // The leader may have changed just now.
        eventually("the pod to be reached", SOON, async || {
            self.kubectl
                .run(&["logs", "--namespace", namespace, "web"])
                .await
                .map(Some)
        })
        .await
        .map(drop)
    }

    /// The kubelet API of the agent that leads, called directly, with its certificate verified.
    pub async fn door(&self, certificate: Option<&KeyPair>) -> Result<Door> {
        let source = &self.product.source;
        let port = leader(source).await?.port;
        let authority = &source.cluster.authority().pair().certificate;
        Door::new(port, "127.0.0.1", authority, certificate).context("the kubelet API")
    }
}

impl Deref for World {
    type Target = clusters::World;

    fn deref(&self) -> &Self::Target {
        &self.clusters
    }
}
