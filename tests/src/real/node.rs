//! One node: containerd, kubelet and kube-proxy, and the files that they read.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Image, Site, config, run, site::Seat};
use crate::{Cluster, Process, Testbed, components::SERVICE_CIDR, wait::eventually};

/// How long a program may take to start, on a machine that is busy otherwise.
const START: Duration = Duration::from_secs(60);
/// The sandbox of every pod.
pub(super) const PAUSE: &str = "testbed.local/pause:1";

/// The archives of the images that every node needs.
pub(super) async fn images(testbed: &Testbed) -> Result<Vec<PathBuf>> {
    let (pause, coredns) = (super::program("pause").await?, testbed.binaries().find("coredns")?);
    let folder = testbed.dir().join("images");
    let write = move || -> Result<Vec<PathBuf>> {
        let images = [
            Image::of(PAUSE, "/pause", pause),
            Image::of(super::dns::IMAGE, "/coredns", coredns).user("0"),
        ];
        images.iter().map(|image| image.write(&folder)).collect()
    };
    tokio::task::spawn_blocking(write).await?
}

/// The node's folder in its own view of the machine: the paths of sockets must be short.
pub(super) const VIEW: &str = "/run/node";

/// Prepares the node's view of the machine, then holds it: $1 is the node's folder, $2 Services' and $3 pods' addresses.
///
/// Programs write into folders and sysctls whose paths nobody can change; here those are the node's own. The sysctls have the
/// values that a kubelet wants. Packets to Services take a route before kube-proxy turns them; pods leave with the node's
/// address, so that others can answer.
const HOLDER: &str = r#"
set -eu
mount --make-rshared /
mount -t tmpfs tmpfs /run
mkdir /run/node
mount --bind "$1" /run/node
for each in /var/lib/cni /var/log/containers; do
    mkdir -p "$each"
    mount -t tmpfs tmpfs "$each"
done
for each in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    mkdir -p "/run/sysctl/${each%/*}"
    echo "${each#*=}" >"/run/sysctl/${each%=*}"
    mount --bind "/run/sysctl/${each%=*}" "/proc/sys/${each%=*}"
done
echo 1 >/proc/sys/net/ipv4/ip_forward
ip route add "$2" dev eth0
nft add table ip testbed
nft add chain ip testbed leaving '{ type nat hook postrouting priority srcnat; }'
nft add rule ip testbed leaving ip saddr "$3" oifname eth0 masquerade
touch "$1/prepared"
exec sleep infinity
"#;

/// A node. Dropped, its programs end; the shims and containers are the cluster's to end.
pub(super) struct Node {
    name: String,
    dir: PathBuf,
    seat: Seat,
    testbed: Testbed,
    // The programs before the holder of their view.
    pub kube_proxy: Option<Process>,
    pub kubelet: Option<Process>,
    pub containerd: Process,
    holder: Process,
}

impl Node {
    /// Starts containerd, and gives it the images that every node needs. It knows nothing of its cluster yet.
    pub async fn start(site: &Site, seat: &Seat, name: &str, dir: PathBuf) -> Result<Self> {
        let testbed = site.testbed();
        for folder in ["cni", "volume-plugins", "pod-logs"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        super::cgroups::make(&seat.name)?;
        let holder = hold(&dir, seat).await?;
        let config = config::containerd(testbed, &dir)?;
        let file = dir.join("containerd.toml");
        fs::write(&file, config)?;
        fs::write(
            dir.join("cni").join("10-pods.conflist"),
            config::network(seat, &dir).to_string(),
        )?;
        fs::write(dir.join("resolv.conf"), "")?;
        let wrapper = enter(seat, &holder);
        let shim = testbed.binaries().find("containerd-shim-runc-v2")?;
        let shims = shim.parent().context("the shim's folder")?;
        let path = format!("{}:{}", shims.display(), env::var("PATH").unwrap_or_default());
        let containerd = Process::spawn_within(
            &format!("containerd of {name}"),
            wrapper,
            &testbed.binaries().find("containerd")?,
            [OsString::from("--config"), file.into()],
            [("PATH".to_owned(), path)],
            dir.join("containerd.log"),
        )?;
        let node = Self {
            name: name.to_owned(),
            dir,
            seat: seat.clone(),
            testbed: testbed.clone(),
            kube_proxy: None,
            kubelet: None,
            containerd,
            holder,
        };
        eventually("containerd to answer", START, async || {
            node.containerd.check()?;
            Ok(node.ctr(&["version"]).await.is_ok().then_some(()))
        })
        .await?;
        node.import(site.images()).await?;
        Ok(node)
    }

    /// Makes it a node of the cluster, whose control plane answers.
    pub fn join(&mut self, cluster: &Cluster) -> Result<()> {
        let (name, address) = (self.name.clone(), self.seat.address.to_string());
        let serving = cluster.authority().server(&name, &[&address, &name])?;
        serving.write(&self.dir, "kubelet")?;
        fs::write(self.dir.join("ca.crt"), &cluster.authority().pair().certificate)?;
        let config = self.dir.join("kubelet.yaml");
        fs::write(&config, config::kubelet(&self.seat, &self.dir).to_string())?;
        let kubeconfig = cluster.write_kubeconfig(&format!("system:node:{name}"), Some("system:nodes"))?;
        let args = vec![
            format!("--config={}", config.display()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={name}"),
            format!("--node-ip={address}"),
            format!("--root-dir={VIEW}/kubelet"),
            format!("--cert-dir={}", self.dir.join("kubelet-pki").display()),
        ];
        self.kubelet = Some(self.spawn("kubelet", args)?);

        let kubeconfig = cluster.write_kubeconfig("system:kube-proxy", None)?;
        let args = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            "--proxy-mode=nftables".into(),
            format!("--cluster-cidr={}", self.seat.pods),
            format!("--hostname-override={name}"),
            // Limits of the whole machine.
            "--conntrack-max-per-core=0".into(),
            "--conntrack-tcp-timeout-established=0s".into(),
            "--conntrack-tcp-timeout-close-wait=0s".into(),
            "--oom-score-adj=0".into(),
        ];
        self.kube_proxy = Some(self.spawn("kube-proxy", args)?);
        Ok(())
    }

    /// Loads images from archives (OCI, or `docker save`'s).
    pub async fn import(&self, archives: &[PathBuf]) -> Result<()> {
        for archive in archives {
            let path = archive.display().to_string();
            self.ctr(&["images", "import", &path]).await?;
        }
        Ok(())
    }

    /// containerd's command line, among the containers and images of the kubelet.
    pub async fn ctr(&self, args: &[&str]) -> Result<String> {
        let mut words: Vec<OsString> = enter(&self.seat, &self.holder).into();
        words.push(self.testbed.binaries().find("ctr")?.into());
        words.push("--address".into());
        words.push(config::socket().into());
        words.extend(["--namespace".into(), "k8s.io".into()]);
        words.extend(args.iter().map(OsString::from));
        tokio::task::spawn_blocking(move || run("nsenter", &words[1..])).await?
    }

    /// An error with the end of its log when a program has ended.
    pub fn check(&self) -> Result<()> {
        let programs = [Some(&self.containerd), self.kubelet.as_ref(), self.kube_proxy.as_ref()];
        programs.into_iter().flatten().try_for_each(Process::check)
    }

    fn spawn(&self, program: &str, args: Vec<String>) -> Result<Process> {
        Process::spawn_within(
            &format!("{program} of {}", self.name),
            enter(&self.seat, &self.holder),
            &self.testbed.binaries().find(program)?,
            args,
            [],
            self.dir.join(format!("{program}.log")),
        )
    }
}

/// What starts a program on the node.
fn enter(seat: &Seat, holder: &Process) -> [OsString; 4] {
    let view = format!("--mount=/proc/{}/ns/mnt", holder.pid());
    ["nsenter".into(), seat.net(), view.into(), "--".into()]
}

async fn hold(dir: &Path, seat: &Seat) -> Result<Process> {
    let sh: PathBuf = "/bin/sh".into();
    let wrapper = [
        "nsenter".into(),
        seat.net(),
        "--".into(),
        "unshare".into(),
        "--mount".into(),
        "--propagation=private".into(),
        "--".into(),
    ];
    let args: [OsString; 6] = [
        "-c".into(),
        HOLDER.into(),
        "testbed-node".into(),
        dir.into(),
        SERVICE_CIDR.into(),
        seat.pods.clone().into(),
    ];
    let name = format!("the node's view of {}", seat.name);
    let holder = Process::spawn_within(&name, wrapper, &sh, args, [], dir.join("node.log"))?;
    eventually("the node's view of the machine", START, async || {
        holder.check()?;
        Ok(dir.join("prepared").exists().then_some(()))
    })
    .await?;
    Ok(holder)
}
