//! Joins the parts.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use multicluster_runtime::admin::{self, Liveness, Readiness};
use multicluster_runtime::{cluster, shutdown};
use multicluster_targets::{cluster_name, supervise};
use multicluster_upstream::Upstream;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::{Args, Command, Role};
use crate::events::Events;
use crate::home::Home;
use crate::leader::{self, Candidate, Term};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::source::exposure::controller::Exposure;
use crate::source::exposure::gateways::Gateways;
use crate::source::exposure::wired::Wired;
use crate::source::fleet::Fleet;
use crate::source::following::hub::Following;
use crate::source::following::watch;
use crate::source::held::HeldPods;
use crate::source::imports::controller;
use crate::source::imports::index::Imports;
use crate::source::imports::network::Network;
use crate::source::kubeconfigs::controller::Kubeconfigs;
use crate::source::kubelet::{self, nodes};
use crate::source::mass_failure::MassFailure;
use crate::source::out_of_service::OutOfService;
use crate::source::proxy_pods::ProxyPods;
use crate::target::delegates::Delegates;
use crate::target::fence::Heartbeats;
use crate::target::publish::Publisher;
use crate::target::trust::keeper;
use crate::target::{grants, pods};
use crate::uninstall;
use crate::uninstall::at_exit::Leaving;

/// Part of the readiness: it is known who leads.
const LEADER_KNOWN: &str = "leader";
/// Part of a leader's readiness: all targets are known, though not all of them need be reachable.
const TARGETS_LISTED: &str = "targets";

/// A work queue in which nothing moves for so long stands still: calls take seconds at most, so only a restart helps.
const STALLED: Duration = Duration::from_secs(180);

/// The whole process, on as many threads as there are cores: the agent, or what its command says instead.
#[tokio::main]
pub async fn start(mut args: Args) -> anyhow::Result<()> {
    match args.command.take() {
        Some(Command::Uninstall(args)) => uninstall::command::run(args).await,
        None => run(args).await,
    }
}

/// Run the agent until it is told to stop.
pub async fn run(args: Args) -> anyhow::Result<()> {
    args.log.init()?;
    args.trace.init("multicluster-agent")?;
    let stop = shutdown::token()?;
    let config = args.cluster.config().await?;
    let own = Upstream::new(&config)
        .inspect_err(|error| tracing::warn!(%error, "no way to this cluster's own pods through the kubelet API"))
        .ok();
    let client = cluster::client(config)?;
    let metrics = Arc::new(Metrics::default());
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let held = HeldPods::default();
    registry.register_collector(Box::new(held.clone()));
    let (readiness, liveness) = (Readiness::default(), Liveness::default());
    readiness.expect(LEADER_KNOWN);
    let queues = metrics.queues.clone();
    liveness
        .checks()
        .add("workqueues", move || match queues.stalled(STALLED) {
            Some(queue) => Err(format!("nothing moves in {queue}, though there is work")),
            None => Ok(()),
        });
    tokio::spawn(cluster::keep_in_touch(client.clone(), readiness.clone(), stop.clone()));
    admin::serve(&args.admin, registry, readiness.clone(), liveness, stop.clone()).await?;

    let cluster_name = match args.is(Role::Source) {
        true => cluster_name(&client, args.cluster_name.as_deref()).await?,
        false => String::new(),
    };
    let leads = metrics.leader.clone();
    let (known, elections) = (readiness.clone(), args.leader.clone());
    let candidate = client.clone();
    let agent = Agent {
        args,
        client,
        cluster_name,
        metrics,
        readiness,
        held,
        own,
        fleet: Mutex::default(),
    };
    let work = |term| agent.work(term);
    if elections.leader_elect {
        let candidate = Candidate::new(candidate, &elections, leads)?;
        candidate.run(stop, || known.set(LEADER_KNOWN, true), work).await?;
    } else {
        known.set(LEADER_KNOWN, true);
        leader::alone(stop, leads, work).await?;
    }
    agent.leave().await
}

/// What all terms have in common.
struct Agent {
    args: Args,
    client: Client,
    cluster_name: String,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    /// Pods that are held in this term.
    held: HeldPods,
    /// The way to this cluster for requests that are passed on.
    own: Option<Upstream>,
    /// The targets of the last term.
    fleet: Mutex<Option<Arc<Fleet>>>,
}

impl Agent {
    /// At the end of the process: clean up, should the product be removed.
    async fn leave(self) -> anyhow::Result<()> {
        let targets = self.fleet.lock().as_ref().map(|fleet| fleet.reached());
        Leaving {
            client: self.client,
            roles: self.args.roles,
            cluster_name: self.cluster_name,
            targets: targets.unwrap_or_default(),
        }
        .clean_up()
        .await
    }

    /// The work of a leader. A standby is ready, whatever was missing when it led.
    fn work(&self, term: Term) -> impl Future<Output = anyhow::Result<()>> {
        let (mut tasks, client) = (JoinSet::new(), term.fence.guard(self.client.clone()));
        let events = Events::new(client.clone());
        if self.args.is(Role::Target) {
            self.target(&mut tasks, &client, &events, &term.stop);
        }
        if self.args.is(Role::Source) {
            self.source(&mut tasks, client, events, &term);
        }
        async move {
            while let Some(task) = tasks.join_next().await {
                task?;
                // No part ends before it is told to: one that does takes the process with it, and a new one starts clean.
                anyhow::ensure!(term.stop.is_cancelled(), "a part of the agent ended by itself");
            }
            self.readiness.set(TARGETS_LISTED, true);
            self.held.hide();
            self.metrics.end_term();
            Ok(())
        }
    }

    fn target(&self, tasks: &mut JoinSet<()>, client: &Client, events: &Events, stop: &CancellationToken) {
        let heartbeats = Arc::new(Heartbeats::default());
        let (events, metrics) = (events.clone(), self.metrics.clone());
        let delegates = Delegates::new(client.clone(), heartbeats.clone(), events.clone(), metrics.clone());
        let publisher = Publisher::new(client.clone(), self.args.publish_nodes, heartbeats, metrics);
        tasks.spawn(delegates.clone().run(stop.clone()));
        tasks.spawn(publisher.clone().run(stop.clone()));
        tasks.spawn(grants::run(client.clone(), events.clone(), stop.clone()));
        tasks.spawn(keeper::run(client.clone(), events, self.metrics.clone(), stop.clone()));
        let (watched, stopped) = (pods::run(client.clone(), delegates, publisher), stop.clone());
        tasks.spawn(async move {
            tokio::select! { () = watched => {}, () = stopped.cancelled() => {} }
        });
    }

    fn source(&self, tasks: &mut JoinSet<()>, client: Client, events: Events, term: &Term) {
        self.readiness.expect(TARGETS_LISTED);
        let home = Arc::new(Home {
            cluster_name: self.cluster_name.clone(),
            client: client.clone(),
            fence: term.fence.clone(),
            limits: self.args.limits(),
            mass_failure: Mutex::new(MassFailure::new(self.args.mass_failure_threshold)),
            mass_doubt: Mutex::new(MassFailure::new(self.args.mass_failure_threshold)),
            events,
            metrics: self.metrics.clone(),
            pods: ProxyPods::default(),
            following: Arc::new(Following::new(&self.metrics.queues)),
            cluster_id: OnceCell::new(),
            out_of_service: OutOfService::default(),
            gateways: Gateways::default(),
            queue: Queue::new(&self.metrics.queues.homeless),
            endpoint: self.args.kubelet.endpoint(),
            imports: Imports::new(
                &self.cluster_name,
                Network::new(&self.args.network),
                &self.metrics.queues.exports,
                &self.metrics.queues.imports,
            ),
        });
        self.held.show(home.clone());
        tasks.spawn(controller::run(home.clone(), term.stop.clone()));
        let ready = self.readiness.clone();
        let fleet = Fleet::new(home.clone(), move || ready.set(TARGETS_LISTED, true));
        *self.fleet.lock() = Some(fleet.clone());
        let delegates = nodes::Nodes::new(fleet.clone(), self.own.clone());
        tasks.spawn(kubelet::run(self.args.kubelet.clone(), delegates, term.stop.clone()));
        let (facts, settings) = (Arc::new(Wired(home.clone())), self.args.dns_settings());
        let (events, metrics) = (home.events.clone(), home.metrics.clone());
        let exposure = Exposure::new(home.client.clone(), facts, settings, events, metrics);
        tasks.spawn(exposure.run(term.stop.clone()));
        let kubeconfigs = Kubeconfigs::new(home.client.clone(), home.events.clone(), home.metrics.clone());
        tasks.spawn(kubeconfigs.run(term.stop.clone()));
        tasks.spawn(watch::run(home.clone(), term.stop.clone()));
        tasks.spawn(fleet.clone().run(term.stop.clone()));
        tasks.spawn(supervise(client, fleet, term.stop.clone()));
    }
}
