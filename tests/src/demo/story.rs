//! The demo, step by step. All that it shows is checked; a wait in vain ends it with an error.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;

use super::clusters::{self, EU, MANAGEMENT, NODES, US, WORKLOAD, virtual_node};
use super::leftovers;
use super::outside::{HOST, Outside};
use super::placement::Placement;
use super::screen::Screen;
use crate::product::{Product, repository};
use crate::{Testbed, eventually, keep_logs};

/// How long a step may take, on a machine that is busy otherwise.
pub(super) const STEP: Duration = Duration::from_secs(120);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The regional Deployments, in the order of [`WORKLOAD`].
pub(super) const REGIONAL: [&str; 2] = ["hello-world-us-west-2", "hello-world-eu-west-3"];
const GLOBAL: &str = "hello-world-global";

/// Tell the whole story. An error names the step and the folder with the logs.
pub async fn run() -> Result<()> {
    // The paths in the commands are those of the repository.
    std::env::set_current_dir(repository())?;
    let start = Instant::now();
    let testbed = Testbed::new("demo").await?;
    // Here, because here people see what is built.
    testbed.binaries().with_dns().await?;
    let mut screen = Screen::new();
    let told = tokio::select! {
        told = tell(&testbed, &mut screen) => told,
        _ = tokio::signal::ctrl_c() => {
            screen.clear_progress();
            bail!("interrupted in {}; all processes have ended", screen.current());
        }
    };
    screen.clear_progress();
    told.inspect_err(|_| keep_logs())
        .with_context(|| format!("{} failed; logs are in {}", screen.current(), testbed.dir().display()))?;
    screen.heading(&format!(
        "All of this happened, and all of it has been checked. {} s in total.",
        start.elapsed().as_secs()
    ));
    screen.lines(["Play with it yourself: make up"]);
    Ok(())
}

async fn tell(testbed: &Testbed, screen: &mut Screen) -> Result<()> {
    screen.heading("One Deployment, many clusters");
    screen.lines([
        "Stock Kubernetes control planes run as processes on this machine; fake kubelets play the nodes.",
        "What follows a $ is what you would type; kubectl talks to the cluster management if nothing else is said.",
        "The first two steps are done for you, with the files that docs/install.md describes.",
    ]);
    let (product, outside) = start(testbed, screen).await?;
    let mut story = Story {
        product,
        outside,
        screen,
    };
    story.connect().await?;
    story.regional().await?;
    story.expose().await?;
    story.change_file().await?;
    story.fail_over().await?;
    story.global().await?;
    story.scale().await?;
    story.drain().await?;
    story.uncordon().await?;
    story.delete().await?;
    story.disconnect().await
}

async fn start(testbed: &Testbed, screen: &mut Screen) -> Result<(Product, Outside)> {
    screen.step("Start three clusters and install multicluster-scheduler in them");
    screen.command("kubectl apply --server-side -k manifests/overlays/source");
    for cluster in WORKLOAD {
        screen.command(&format!(
            "kubectl --context {cluster} apply --server-side -k manifests/overlays/target"
        ));
    }
    let look = async |screen: &mut Screen| {
        screen.progress("three times etcd, API server, controllers, scheduler; cert-manager; DNS");
        Ok(())
    };
    let started = meanwhile(screen, clusters::start(testbed), look).await?;
    screen.done(&format!(
        "{MANAGEMENT}: no nodes; {}: {NODES} nodes each",
        WORKLOAD.join(", ")
    ));
    Ok(started)
}

/// What the chapters work on.
pub(super) struct Story<'a> {
    pub(super) product: Product,
    pub(super) outside: Outside,
    pub(super) screen: &'a mut Screen,
}

impl Story<'_> {
    async fn connect(&mut self) -> Result<()> {
        self.screen
            .step("Connect the workload clusters: each becomes a virtual node");
        for cluster in WORKLOAD {
            self.screen.command(&format!(
                "kubectl --context {cluster} apply -f clustersource.yaml # then its kubeconfig becomes a Secret"
            ));
            self.screen
                .command(&format!("kubectl apply -f clustertarget-{cluster}.yaml"));
        }
        self.product.connect_all().await?;
        self.screen.done("both virtual nodes are Ready");
        self.show("get nodes -L topology.kubernetes.io/region").await
    }

    async fn regional(&mut self) -> Result<()> {
        self.screen
            .step("Two regional Deployments: their node selectors choose the cluster");
        self.kubectl("label namespace default multicluster-scheduler=enabled")
            .await?;
        self.kubectl("apply -f docs/quick-tour/regional.yaml").await?;
        let placement = self
            .wait_until("4 pods in each region", |placement| {
                placement.running(REGIONAL[0], US) == 4 && placement.running(REGIONAL[1], EU) == 4
            })
            .await?;
        self.screen.done("4 pods in each region");
        self.screen.table(&placement.counts());
        Ok(())
    }

    async fn global(&mut self) -> Result<()> {
        self.screen.step("A global Deployment: 20 pods, wherever there is room");
        self.kubectl("apply -f docs/quick-tour/global.yaml").await?;
        let placement = self.wait_for_global(20, &WORKLOAD).await?;
        self.screen.done("all 20 pods run, in both clusters");
        self.screen.table(&placement.counts());
        self.screen.lines([""]);
        self.screen.table(&placement.details());
        Ok(())
    }

    async fn scale(&mut self) -> Result<()> {
        for (from, to) in [(20, 30), (30, 10)] {
            self.screen
                .step(&format!("Scale the global Deployment from {from} to {to}"));
            self.scale_global(to).await?;
            let placement = self.wait_for_global(to, &[]).await?;
            self.screen.done(&format!("{to} pods run"));
            self.screen.table(&placement.counts());
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<()> {
        self.screen
            .step(&format!("Drain {US}: what may run elsewhere moves, what may not waits"));
        self.kubectl(&format!(
            "drain {} --ignore-daemonsets --delete-emptydir-data",
            virtual_node(US)
        ))
        .await?;
        let placement = self
            .wait_until("all pods to leave the drained cluster", |placement| {
                placement.running(GLOBAL, EU) == 10
                    && placement.running(GLOBAL, US) == 0
                    && placement.running(REGIONAL[0], US) == 0
                    && placement.waiting(REGIONAL[0]) == 4
                    && placement.running(REGIONAL[1], EU) == 4
            })
            .await?;
        self.screen.done(&format!("no pod is left in {US}"));
        self.screen.table(&placement.counts());
        self.wait_for_name(&[EU]).await?;
        self.screen.done(&format!("{HOST} leads to {EU} alone"));
        Ok(())
    }

    async fn uncordon(&mut self) -> Result<()> {
        self.screen.step(&format!("Bring {US} back, and scale up"));
        self.kubectl(&format!("uncordon {}", virtual_node(US))).await?;
        self.wait_until("the regional pods to come back", |placement| {
            placement.running(REGIONAL[0], US) == 4
        })
        .await?;
        self.screen.done(&format!("the 4 pods that waited run in {US}"));
        self.scale_global(20).await?;
        let placement = self.wait_for_global(20, &WORKLOAD).await?;
        self.screen.done("20 pods run, new ones in the cluster that came back");
        self.screen.table(&placement.counts());
        self.wait_for_name(&WORKLOAD).await?;
        self.screen.done(&format!("{HOST} leads to both regions"));
        Ok(())
    }

    async fn delete(&mut self) -> Result<()> {
        self.screen.step("Delete all of it");
        self.kubectl("delete -f docs/quick-tour/").await?;
        self.wait_until("all pods to be gone", Placement::is_empty).await?;
        self.screen.done("no pods, no delegates");
        self.wait_for_name(&[]).await?;
        self.screen.done(&format!("{HOST} leads nowhere"));
        Ok(())
    }

    async fn disconnect(&mut self) -> Result<()> {
        self.screen
            .step("Disconnect the clusters, and look for anything left behind");
        self.kubectl("delete clustertargets --all").await?;
        for cluster in WORKLOAD {
            self.screen
                .command(&format!("kubectl --context {cluster} delete clustersources --all"));
            let cluster = &self.product.target(cluster)?.cluster;
            cluster.kubectl(&["delete", "clustersources", "--all"]).await?;
        }
        let Self { product, screen, .. } = self;
        let mut found = Vec::new();
        let clean = eventually("the clusters to be clean", STEP, async || {
            let clusters = product.seats().map(|seat| leftovers::find(&seat.cluster));
            found = try_join_all(clusters).await?.concat();
            screen.progress(&format!("{} objects left", found.len()));
            Ok(found.is_empty().then_some(()))
        });
        let clean = clean.await;
        clean.with_context(|| format!("left behind:\n{}", found.join("\n")))?;
        self.screen
            .done("nothing left in 3 clusters: no pods, chaperons, copies, names, virtual nodes, finalizers");
        Ok(())
    }

    async fn scale_global(&mut self, replicas: usize) -> Result<()> {
        self.kubectl(&format!("scale deployment {GLOBAL} --replicas={replicas}"))
            .await
    }

    /// Wait until the global Deployment has this many pods, some of them in each of `clusters`.
    async fn wait_for_global(&mut self, replicas: usize, clusters: &[&str]) -> Result<Placement> {
        self.wait_until(&format!("{replicas} pods of {GLOBAL}"), |placement| {
            let running = WORKLOAD.map(|cluster| placement.running(GLOBAL, cluster));
            running.iter().sum::<usize>() == replicas
                && placement.waiting(GLOBAL) == 0
                && clusters.iter().all(|cluster| placement.running(GLOBAL, cluster) > 0)
        })
        .await
    }

    /// Wait until nothing is on its way any more and all is as it should be.
    pub(super) async fn wait_until(&mut self, what: &str, is: impl Fn(&Placement) -> bool) -> Result<Placement> {
        let Self { product, screen, .. } = self;
        let mut last = String::new();
        let placement = eventually(what, STEP, async || {
            for seat in product.seats() {
                seat.agent.check()?;
            }
            let placement = Placement::read(product).await?;
            screen.progress(&placement.progress());
            last = placement.counts().lines(false).join("\n");
            Ok((placement.is_settled() && is(&placement)).then_some(placement))
        });
        let placement = placement.await;
        placement.with_context(|| format!("where pods run:\n{last}"))
    }

    /// Run kubectl against the management cluster, with progress. Quotes are the shell's, of words without blanks.
    pub(super) async fn kubectl(&mut self, command: &str) -> Result<()> {
        self.screen.command(&format!("kubectl {command}"));
        let args: Vec<&str> = command.split_whitespace().map(|word| word.trim_matches('\'')).collect();
        let Self { product, screen, .. } = self;
        let look = async |screen: &mut Screen| {
            screen.progress(&Placement::read(product).await?.progress());
            Ok(())
        };
        meanwhile(screen, product.source.cluster.kubectl(&args), look)
            .await
            .map(drop)
    }

    /// Run kubectl against the management cluster and show what it prints.
    pub(super) async fn show(&mut self, command: &str) -> Result<()> {
        self.screen.command(&format!("kubectl {command}"));
        let args: Vec<&str> = command.split_whitespace().collect();
        let output = self.product.source.cluster.kubectl(&args).await?;
        self.screen.lines(output.lines());
        Ok(())
    }
}

/// Do some work, and look at the progress now and then.
async fn meanwhile<T>(
    screen: &mut Screen,
    work: impl Future<Output = Result<T>>,
    mut look: impl AsyncFnMut(&mut Screen) -> Result<()>,
) -> Result<T> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(LOOK) => {
                // What counts is the work; a look that fails is repeated.
                let _ = look(screen).await;
            }
        }
    }
}
