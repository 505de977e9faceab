//! The clusters of a run: a source, and three targets behind links that can be disturbed.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::schedule::{Place, Subject, TARGETS};
use crate::product::{Product, Role, Scope, Seat};
use crate::{ClusterOptions, Component, Link, NodePool, Process, Testbed, completing};

/// The namespace of all workloads.
pub const WORKLOADS: &str = "soak";

/// The clusters of a run.
pub struct World {
    /// Source and targets with the product.
    pub product: Product,
    /// The ways to the targets, in the order of [`TARGETS`].
    pub links: Vec<Link>,
    /// The targets' virtual nodes, in the same order.
    pub nodes: Vec<String>,
}

/// A process of the world.
pub enum Handle<'a> {
    /// One of ours.
    Own(&'a Process),
    /// One of a cluster.
    Cluster(Arc<Process>),
}

impl Deref for Handle<'_> {
    type Target = Process;

    fn deref(&self) -> &Process {
        match self {
            Self::Own(process) => process,
            Self::Cluster(process) => process,
        }
    }
}

impl World {
    /// Start the clusters and connect them for all namespaces.
    pub async fn start(testbed: &Testbed, seed: u64) -> Result<Self> {
        let options = |name: &str, nodes| {
            let mut options = ClusterOptions::new(name, vec![NodePool::new(name, nodes).allocatable("cpu", "8")]);
            options.kwok_config = vec![completing(Duration::from_secs(2), Duration::from_secs(4))];
            options
        };
        let targets = TARGETS.map(|name| options(name, 3)).into();
        let product = Product::start(testbed, options("source", 2), Role::Source, targets).await?;
        product.namespace(WORKLOADS).await?;
        let (mut links, mut nodes) = (Vec::new(), Vec::new());
        for name in TARGETS {
            let link = Link::to(&product.target(name)?.cluster, seed).await?;
            nodes.push(product.connect_through(&link, name, Scope::Cluster).await?);
            links.push(link);
        }
        Ok(Self { product, links, nodes })
    }

    /// A cluster with its components.
    pub fn seat(&self, place: Place) -> Result<&Seat> {
        match place {
            Place::Source => Ok(&self.product.source),
            Place::Target(index) => self.product.target(TARGETS[index]),
        }
    }

    /// The process that a fault befalls.
    pub fn process(&self, subject: Subject) -> Result<Handle<'_>> {
        let component = |place, component| Ok(Handle::Cluster(self.seat(place)?.cluster.component(component)?));
        let front = || self.product.source.front();
        match subject {
            Subject::Webhook => Ok(Handle::Own(&front()?.webhook)),
            Subject::Extender => Ok(Handle::Own(&front()?.extender)),
            Subject::Scheduler => Ok(Handle::Own(&front()?.scheduler)),
            Subject::Agent(place) => Ok(Handle::Own(&self.seat(place)?.agent)),
            Subject::ApiServer(place) => component(place, Component::ApiServer),
            Subject::Etcd(place) => component(place, Component::Etcd),
            Subject::ControllerManager(place) => component(place, Component::ControllerManager),
            Subject::TargetScheduler(index) => component(Place::Target(index), Component::Scheduler),
            Subject::Link(_) => None.context("a link is no process"),
        }
    }

    /// All processes that faults may befall, and that are started again should they end by themselves.
    pub fn subjects() -> impl Iterator<Item = Subject> {
        let places = Place::all().flat_map(|place| {
            [
                Subject::Agent(place),
                Subject::ApiServer(place),
                Subject::Etcd(place),
                Subject::ControllerManager(place),
            ]
        });
        [Subject::Webhook, Subject::Extender, Subject::Scheduler]
            .into_iter()
            .chain(places)
    }

    /// Our own long-running components, whose memory is watched.
    pub fn components() -> impl Iterator<Item = Subject> {
        [Subject::Webhook, Subject::Extender]
            .into_iter()
            .chain(Place::all().map(Subject::Agent))
    }

    /// Wait until an API server answers; it may have to wait for an etcd that is paused.
    pub async fn wait_api_server(&self, place: Place) -> Result<()> {
        let cluster = &self.seat(place)?.cluster;
        for _ in 0..120 {
            let answer = tokio::time::timeout(Duration::from_secs(2), cluster.get("/readyz")).await;
            if matches!(answer, Ok(Ok(_))) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        anyhow::bail!("the API server of {place} does not come back")
    }
}
