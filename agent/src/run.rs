//! Joins the parts.

use std::sync::Arc;

use multicluster_runtime::admin::{self, Readiness};
use multicluster_runtime::shutdown;
use multicluster_targets::{cluster_name, supervise};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;

use crate::cli::{Args, Role};
use crate::events::Events;
use crate::home::Home;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::source::fleet::Fleet;
use crate::source::mass_failure::MassFailure;
use crate::source::proxy_pods::ProxyPods;
use crate::target::delegates::Delegates;
use crate::target::publish::Publisher;
use crate::target::{grants, pods};
use crate::uninstall::at_exit::Leaving;

/// Run the agent until it is told to stop.
pub async fn run(args: Args) -> anyhow::Result<()> {
    args.log.init()?;
    let stop = shutdown::token()?;
    let client = args.cluster.client().await?;
    let metrics = Arc::new(Metrics::default());
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let readiness = Readiness::default();
    let events = Events::new(client.clone());
    let mut tasks = JoinSet::new();
    let mut source = None;

    if args.is(Role::Target) {
        let delegates = Delegates::new(client.clone(), events.clone(), metrics.clone());
        let publisher = Publisher::new(client.clone(), args.publish_nodes);
        tasks.spawn(delegates.clone().run(stop.clone()));
        tasks.spawn(publisher.clone().run(stop.clone()));
        tasks.spawn(grants::run(client.clone(), events.clone(), stop.clone()));
        let (watched, stopped) = (pods::run(client.clone(), delegates, publisher), stop.clone());
        tasks.spawn(async move {
            tokio::select! { () = watched => {}, () = stopped.cancelled() => {} }
        });
    }
    if args.is(Role::Source) {
        readiness.expect("targets");
        let home = Arc::new(Home {
            cluster_name: cluster_name(&client, args.cluster_name.as_deref()).await?,
            client: client.clone(),
            limits: args.limits(),
            mass_failure: Mutex::new(MassFailure::new(args.mass_failure_threshold)),
            events,
            metrics,
            pods: ProxyPods::default(),
            queue: Queue::default(),
        });
        let ready = readiness.clone();
        let fleet = Fleet::new(home.clone(), move || ready.set("targets", true));
        tasks.spawn(fleet.clone().run(stop.clone()));
        tasks.spawn(supervise(client.clone(), fleet.clone(), stop.clone()));
        source = Some((home, fleet));
    }
    admin::serve(&args.admin, registry, readiness, stop.clone()).await?;
    while let Some(task) = tasks.join_next().await {
        task?;
        // No part ends before it is told to: one that does takes the process with it, and a new one starts clean.
        anyhow::ensure!(stop.is_cancelled(), "a part of the agent ended by itself");
    }
    let (cluster_name, targets) = match source {
        Some((home, fleet)) => (home.cluster_name.clone(), fleet.reached()),
        None => Default::default(),
    };
    Leaving {
        client,
        roles: args.roles,
        cluster_name,
        targets,
    }
    .clean_up()
    .await
}
