//! A stock control plane with one real node.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    net::Ipv4Addr,
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::process::Command;

use super::{
    cleaning, dns,
    node::Node,
    site::{Seat, Site},
};
use crate::{ClusterOptions, Process, components::DNS_SERVICE, nodes, wait, wait::eventually};

/// How long a cluster may take to start, on a machine that is busy otherwise.
const START: Duration = Duration::from_secs(180);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The control plane. Its nodes are not used, nor what configures them.
    pub control_plane: ClusterOptions,
    /// Labels of the node, such as its region.
    pub labels: BTreeMap<String, String>,
    /// Archives of images that the node has from the start; see also [`Cluster::import`].
    pub images: Vec<PathBuf>,
}

impl Options {
    /// A cluster of this name: lower-case letters, digits and `-`.
    pub fn new(name: &str) -> Self {
        Self {
            control_plane: ClusterOptions::new(name, []),
            labels: BTreeMap::new(),
            images: Vec::new(),
        }
    }

    /// Adds a label of the node.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an image that the node has from the start.
    pub fn image(mut self, archive: impl Into<PathBuf>) -> Self {
        self.images.push(archive.into());
        self
    }
}

/// A running cluster, with all that [`crate::Cluster`] has. Dropped, everything of it ends.
pub struct Cluster {
    // First: it ends all processes at once, so that none starts what another has ended.
    namespace: Namespace,
    node: Node,
    node_name: String,
    control_plane: crate::Cluster,
}

/// A cluster's part of the site. Dropped, all processes in it end, and then it is removed.
struct Namespace {
    seat: Seat,
    dir: PathBuf,
    // Last: the switch is needed until the end.
    site: Site,
}

impl Cluster {
    /// Starts a cluster; returns when its node is ready, and resolves names of Services.
    ///
    /// Start several at once with `tokio::try_join!` (the future is not `Send`).
    pub async fn start(site: &Site, options: Options) -> Result<Self> {
        let name = options.control_plane.name.clone();
        let dir = site.testbed().dir().join(&name);
        Self::start_in(site, options, dir.clone())
            .await
            .inspect_err(|_| wait::keep_logs())
            .with_context(|| format!("cluster {name}, logs in {}", dir.display()))
    }

    async fn start_in(site: &Site, mut options: Options, dir: PathBuf) -> Result<Self> {
        let name = options.control_plane.name.clone();
        let valid = name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        ensure!(valid && !name.is_empty(), "{name:?} is no cluster's name");
        let seat = site.seat(&name)?;
        let namespace = Namespace {
            seat: seat.clone(),
            dir: dir.clone(),
            site: site.clone(),
        };
        options.control_plane.place = Some(seat.place());
        options.control_plane.nodes.clear();
        let node_name = format!("{name}-node");
        let node_dir = dir.join("node");
        let (control_plane, mut node) = tokio::try_join!(
            crate::Cluster::start(site.testbed(), options.control_plane),
            Node::start(site, &seat, &node_name, node_dir)
        )?;
        node.join(&control_plane)?;
        let cluster = Self {
            namespace,
            node,
            node_name,
            control_plane,
        };
        let images = cluster.import(&options.images);
        let dns = async { cluster.apply_yaml(&dns::manifests()).await };
        tokio::try_join!(images, dns, cluster.node_ready(&options.labels))?;
        cluster.dns_ready().await?;
        Ok(cluster)
    }

    /// The node's name.
    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    /// The node's address. The API server, NodePorts and programs started by [`spawn`](Self::spawn) have it too.
    pub fn address(&self) -> Ipv4Addr {
        self.namespace.seat.address
    }

    /// The file of its network namespace.
    pub fn namespace(&self) -> PathBuf {
        self.namespace.seat.file()
    }

    /// The site that it stands on.
    pub fn site(&self) -> &Site {
        &self.namespace.site
    }

    /// The kubelet's process, for signals.
    pub fn kubelet(&self) -> Result<&Process> {
        self.node.kubelet.as_ref().context("there is no kubelet")
    }

    /// containerd's process, for signals. Containers go on without it.
    pub fn containerd(&self) -> &Process {
        &self.node.containerd
    }

    /// Loads images from archives (OCI, or `docker save`'s) into the node. Pods that use them have `imagePullPolicy: Never`,
    /// or none and a tag that is not `latest`.
    pub async fn import(&self, archives: &[PathBuf]) -> Result<()> {
        self.node.import(archives).await
    }

    /// containerd's command line, e.g. `["images", "list"]`.
    pub async fn ctr(&self, args: &[&str]) -> Result<String> {
        self.node.ctr(args).await
    }

    /// Runs a program of this machine in the cluster's network, and returns what it prints.
    pub async fn enter(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new("nsenter");
        command.arg(self.namespace.seat.net()).arg("--").arg(program).args(args);
        let output = command.kill_on_drop(true).output().await?;
        ensure!(
            output.status.success(),
            "{program} {} in cluster {}: {}",
            args.join(" "),
            self.name(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a program of this machine in the cluster's network, such as a web server on the node's address. Its log is
    /// `<log_dir>/<name>.log`.
    pub fn spawn(&self, name: &str, program: &Path, args: &[impl AsRef<OsStr>]) -> Result<Process> {
        let log = self.log_dir().join(format!("{name}.log"));
        let wrapper = self.namespace.seat.place().enter();
        let args = args.iter().map(|arg| arg.as_ref().to_owned());
        Process::spawn_within(
            &format!("{name} of cluster {}", self.name()),
            wrapper,
            program,
            args,
            [],
            log,
        )
    }

    /// Ends it, as dropping does, and says what could not be removed.
    pub async fn stop(self) -> Result<()> {
        tokio::task::spawn_blocking(move || self.namespace.remove()).await?
    }

    async fn node_ready(&self, labels: &BTreeMap<String, String>) -> Result<()> {
        let objects: Api<NodeObject> = Api::all(self.client());
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        eventually("the node to register", START, async || {
            self.node.check()?;
            let labelled = objects.patch(&self.node_name, &PatchParams::default(), &patch).await;
            Ok(labelled.is_ok().then_some(()))
        })
        .await?;
        eventually("the node to be ready", START, async || {
            self.node.check()?;
            Ok(nodes::is_ready(&objects.get(&self.node_name).await?).then_some(()))
        })
        .await
    }

    /// CoreDNS runs, and kube-proxy leads to it.
    async fn dns_ready(&self) -> Result<()> {
        let wait = [
            "rollout",
            "status",
            "deployment/coredns",
            "--namespace=kube-system",
            "--timeout=120s",
        ];
        self.kubectl(&wait).await?;
        let connect = format!("exec 3<>/dev/tcp/{DNS_SERVICE}/53");
        eventually("the name server's Service to answer", START, async || {
            self.node.check()?;
            self.enter("bash", &["-c", &connect]).await.map(Some)
        })
        .await
        .map(drop)
    }
}

impl Deref for Cluster {
    type Target = crate::Cluster;

    fn deref(&self) -> &crate::Cluster {
        &self.control_plane
    }
}

impl Namespace {
    fn remove(&self) -> Result<()> {
        cleaning::clean(&self.seat.name, &self.dir)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("testbed: {error:#}");
        }
    }
}
