//! The clusters that all tests share.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use parking_lot::Mutex;
use testbed::metrics_server::MetricsServer;
use testbed::product::{Product, Role};
use testbed::wire::Door;
use testbed::{ClusterOptions, NodePool, Testbed, usage};

use super::clusters;

/// Two readings of metrics-server in the target, two more in the source, and what autoscalers take on top.
pub const MEASURED: Duration = Duration::from_secs(150);

/// A test in this world.
pub type Test = super::harness::Test<World>;

/// Source and targets with the product, and metrics-servers.
pub struct World {
    clusters: clusters::World,
    servers: Mutex<BTreeMap<String, MetricsServer>>,
}

impl Deref for World {
    type Target = clusters::World;

    fn deref(&self) -> &Self::Target {
        &self.clusters
    }
}

impl World {
    /// Start all, and connect the targets.
    pub async fn start(testbed: Testbed) -> Result<Self> {
        let mut source = ClusterOptions::new("source", vec![]);
        // As quick as metrics are.
        let args = ["--horizontal-pod-autoscaler-sync-period=5s"];
        source.controller_manager_args = args.map(String::from).into();
        let target = |name: &str| {
            let mut options = ClusterOptions::new(name, vec![NodePool::new(name, 2)]);
            options.kwok_config = usage::kwok_config();
            options
        };
        let product = Product::start(&testbed, source, Role::Source, vec![target("eu"), target("us")]).await?;
        product.connect_all().await?;
        let clusters = clusters::World {
            product,
            links: BTreeMap::new(),
        };
        let world = Self {
            clusters,
            servers: Mutex::default(),
        };
        try_join_all(["source", "eu", "us"].map(|name| world.start_metrics_server(name))).await?;
        Ok(world)
    }

    /// Start the metrics-server of a cluster.
    pub async fn start_metrics_server(&self, name: &str) -> Result<()> {
        let cluster = match name {
            "source" => self.source(),
            target => self.target(target),
        };
        let server = MetricsServer::start(cluster).await?;
        self.servers.lock().insert(name.into(), server);
        Ok(())
    }

    /// GET a path of the virtual nodes' kubelet API. Not by way of the API server, which passes nothing on to loopback
    /// addresses.
    pub async fn kubelet(&self, path: &str) -> Result<String> {
        let (authority, port) = (self.source().authority(), self.product.source.agent.all()[0].port);
        let admin = authority.client("admin", Some("system:masters"))?;
        let door = Door::new(port, "127.0.0.1", &authority.pair().certificate, Some(&admin))?;
        let answer = door.get(path).await?;
        ensure!(answer.status.is_success(), "{}: {}", answer.status, answer.text());
        Ok(answer.text())
    }

    /// Take the metrics API out of a target.
    pub async fn remove_metrics_server(&self, target: &str) -> Result<()> {
        let server = self.servers.lock().remove(target);
        server.context("no metrics-server")?.remove(self.target(target)).await
    }
}
