//! What a node's programs read.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    missing,
    node::{PAUSE, VIEW},
    site::Seat,
};
use crate::{Testbed, components::DNS_SERVICE};

/// containerd's socket, in the node's view.
pub(super) fn socket() -> String {
    format!("{VIEW}/containerd.sock")
}

/// The kubelet's. Its serving certificate is in the node's folder.
pub(super) fn kubelet(seat: &Seat, dir: &Path) -> Value {
    let path = |file: &str| dir.join(file).display().to_string();
    json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true, "cacheTTL": "1s" },
            "x509": { "clientCAFile": path("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": path("kubelet.crt"),
        "tlsPrivateKeyFile": path("kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", socket()),
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": path("resolv.conf"),
        "podLogsDir": path("pod-logs"),
        "volumePluginDir": path("volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", seat.name),
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        // Whatever else fills the machine, no test's pods are evicted, and no image is removed.
        "evictionHard": {
            "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        // The machine may forbid lower ones.
        "oomScoreAdj": 0,
        "readOnlyPort": 0,
        "registerNode": true,
    })
}

/// The pods' network: each is linked to the node by a wire of its own, so all packets pass the node's rules.
pub(super) fn network(seat: &Seat, dir: &Path) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": seat.name,
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": dir.join("addresses"),
                "ranges": [[{ "subnet": seat.pods }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

/// containerd's.
pub(super) fn containerd(testbed: &Testbed, dir: &Path) -> Result<String> {
    let Some(plugins) = missing::cni_folder() else {
        bail!("there are no CNI plugins");
    };
    let runc = testbed.binaries().find("runc")?;
    let quoted = |path: &Path| -> Result<String> {
        // TOML's basic strings are JSON's.
        Ok(serde_json::to_string(
            path.to_str().context("a path that is not UTF-8")?,
        )?)
    };
    let (root, state) = (dir.join("containerd"), dir.join("containerd-state"));
    Ok(format!(
        r#"version = 3
root = {root}
state = {state}
temp = {temp}
disabled_plugins = [
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = {socket}
[plugins.'io.containerd.internal.v1.opt']
path = {opt}
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{plugins}"]
conf_dir = {cni}
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = {runc}
SystemdCgroup = false
"#,
        root = quoted(&root)?,
        state = quoted(&state)?,
        temp = quoted(&dir.join("containerd-temp"))?,
        opt = quoted(&dir.join("containerd-opt"))?,
        socket = quoted(Path::new(&socket()))?,
        cni = quoted(&dir.join("cni"))?,
        runc = quoted(&runc)?,
    ))
}
