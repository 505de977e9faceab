//! Three clusters with real nodes, and a reader's shell.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use testbed::cargo::cargo;
use testbed::product::repository;
use testbed::real::{self, Cluster, Ingresses, Options, Site};
use tokio::process::Command;

use super::shell::Shell;
use super::stand_ins::StandIns;

/// Our images, as the reader builds them.
const IMAGES: [&str; 4] = [
    "hello-world:v1",
    "multicluster-scheduler-webhook:v0.1.0",
    "multicluster-scheduler-extender:v0.1.0",
    "multicluster-scheduler-agent:v0.1.0",
];
const TARGETS: [&str; 4] = ["hello-world", "webhook", "extender", "agent"];

/// The world of the quick start.
pub struct World {
    pub management: Cluster,
    pub west: Cluster,
    pub paris: Cluster,
    ingresses: Vec<Ingresses>,
    shell: Shell,
    _site: Site,
}

impl World {
    /// Builds the images and starts the clusters.
    pub async fn start() -> Result<Self> {
        let images = real::product_images(&TARGETS).await?;
        let plugin = build_plugin().await?;
        let site = Site::new("tutorial").await?;
        let testbed = site.testbed().clone();
        let binaries = testbed.binaries().with_helm().await?;
        let mut management = real::cert_manager_images(&testbed)?;
        management.push(real::kube_scheduler_image(&testbed)?);
        let metrics = real::metrics_server_image(&testbed).await?;
        let options = |name: &str, more: &[PathBuf]| {
            let all = images.iter().chain(more).chain([&metrics]);
            all.fold(Options::new(name), |options, image| options.image(image))
        };
        let (management, west, paris) = tokio::try_join!(
            Cluster::start(&site, options("management", &management)),
            Cluster::start(&site, options("us-west-2", &[])),
            Cluster::start(&site, options("eu-west-3", &[])),
        )?;
        let programs = [binaries.find("helm")?, binaries.find("kubectl")?, plugin];
        // The last one is the current context.
        let clusters = [&west, &paris, &management];
        let stand_ins = StandIns::new(testbed.dir().join("reader"), &clusters, &IMAGES, &programs)?;
        let shell = Shell::new(&stand_ins)?;
        Ok(Self {
            management,
            west,
            paris,
            ingresses: Vec::new(),
            shell,
            _site: site,
        })
    }

    /// All clusters, the source first.
    pub fn clusters(&self) -> [&Cluster; 3] {
        [&self.management, &self.west, &self.paris]
    }

    /// The targets.
    pub fn targets(&self) -> [&Cluster; 2] {
        [&self.west, &self.paris]
    }

    /// Runs a reader's commands.
    pub async fn run(&self, commands: &str) -> Result<String> {
        let mut commands = commands.to_owned();
        // Names inside Docker's network, which kind's nodes resolve.
        for cluster in self.targets() {
            commands = commands.replace(&format!("https://{}-control-plane:6443", cluster.name()), cluster.url());
        }
        let url = format!(
            "$(case $region in us-west-2) echo {};; eu-west-3) echo {};; esac)",
            self.west.url(),
            self.paris.url()
        );
        self.shell
            .run(&commands.replace("https://$region-control-plane:6443", &url))
            .await
    }

    /// nginx in both regions.
    pub async fn start_ingress_controllers(&mut self) -> Result<()> {
        for cluster in [&self.west, &self.paris] {
            self.ingresses.push(Ingresses::start(cluster).await?);
        }
        Ok(())
    }

    /// What one looks at when something has failed.
    pub async fn describe(&self) {
        for cluster in self.clusters() {
            eprintln!("tutorial: cluster {}", cluster.name());
            for words in [
                &["get", "nodes,pods", "--all-namespaces", "--output=wide"][..],
                &["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"][..],
                &[
                    "logs",
                    "--namespace=multicluster-scheduler",
                    "--all-pods",
                    "--prefix",
                    "--tail=40",
                    "--selector=app.kubernetes.io/part-of=multicluster-scheduler",
                ][..],
            ] {
                match cluster.kubectl(words).await {
                    Ok(text) => eprintln!("{text}"),
                    Err(error) => eprintln!("{error:#}"),
                }
            }
        }
    }

    /// Ends everything; an error says what could not be removed.
    pub async fn stop(self) -> Result<()> {
        drop(self.ingresses);
        for cluster in [self.management, self.west, self.paris] {
            cluster.stop().await?;
        }
        Ok(())
    }
}

/// `kubectl multicluster`, in the folder that this program lies in.
async fn build_plugin() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).context("no folder")?;
    let status = Command::from(cargo())
        .current_dir(repository())
        .args(["build", "--quiet", "--package", "multicluster-cli"])
        .env("CARGO_TARGET_DIR", folder.parent().context("no folder")?)
        .status()
        .await?;
    ensure!(status.success(), "the plugin could not be built: see above");
    Ok(folder.join("kubectl-multicluster"))
}
