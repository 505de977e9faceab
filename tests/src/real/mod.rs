//! Clusters of real nodes: a kubelet, containerd and runc that run real containers. Linux, as root.
//!
//! ```text
//!  this program, kubectl, helm, curl                    namespace mct128 (a switch)
//!  10.128.0.1 on link mct128 ═══════════════════════════ bridge
//!                                                        ║    ║
//!  namespace mct128.source ══════════════════════════════╝    ║
//!    10.128.0.10: etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
//!                 containerd, kubelet, kube-proxy         ║
//!    10.128.10.0/24: pods (CoreDNS, …)                    ║
//!  namespace mct128.target ══════════════════════════════╝
//!    10.128.0.11, 10.128.11.0/24, …
//! ```
//!
//! A [`Site`] is what the clusters of one test share: the switch, and the programs. A [`Cluster`] is all that
//! [`crate::Cluster`] is, and besides has one node. Clusters, their pods and this program reach each other: clusters by
//! their nodes' addresses, this program by the pods' too. Nothing else is reached, and no name outside resolves.
//!
//! The machine stays as it is: programs that write elsewhere than into the run's folder (`/run`, `/var/lib`, `/var/log`, a
//! few sysctls) do that in a mount namespace of their own. What remains is named `mct…`: a link, network namespaces, control
//! groups. They are removed in the end, also when this program is killed (a watchdog), or the watchdog too (the next run).
//! Two empty folders stay, `/var/lib/cni` and `/var/log/containers`, and a lock file, `/run/lock/multicluster-testbed.lock`.
//!
//! Not there: load balancers (use a NodePort, or [`Cluster::spawn`] a program on the node's address), host ports of pods,
//! network policies (they are accepted and not enforced), volumes other than those of the kubelet itself.

mod cert_manager;
mod cgroups;
mod cleaning;
mod cluster;
mod config;
mod dns;
mod image;
mod ingress;
mod metrics_server;
mod missing;
mod node;
mod product;
mod programs;
mod site;

pub use cert_manager::cert_manager_images;
pub use cluster::{Cluster, Options};
pub use image::Image;
pub use ingress::Ingresses;
pub use metrics_server::metrics_server_image;
pub use missing::missing;
pub use product::{kube_scheduler_image, layers_size, product_images};
pub use programs::program;
pub use site::Site;

use std::{ffi::OsStr, process::Command};

use anyhow::{Context, Result, bail};

/// Runs a program of the system's to its end and returns what it prints.
fn run(program: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    let output = command.output().with_context(|| program.to_owned())?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `ip`, with words separated by blanks.
fn ip(args: &str) -> Result<String> {
    run("ip", args.split_whitespace())
}
