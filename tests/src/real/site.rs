//! What the clusters of one test share: a switch that connects them with this program.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;

use super::{cleaning, ip};
use crate::{Testbed, cluster::Place};

/// Begins the names of links, namespaces and control groups.
const PREFIX: &str = "mct";
/// The second numbers of the sites' addresses, 10.N.0.0/16: none that clusters use for their Services.
const NUMBERS: std::ops::Range<u8> = 128..228;
/// Held by whoever takes or frees a number.
const LOCK: &str = "/run/lock/multicluster-testbed.lock";
/// The most clusters of a site.
const CLUSTERS: u8 = 200;

/// The ground that clusters with real nodes stand on. Dropped, after all of them, it is removed.
#[derive(Clone)]
pub struct Site(Arc<Ground>);

struct Ground {
    testbed: Testbed,
    images: Vec<PathBuf>,
    number: u8,
    clusters: Mutex<u8>,
    watchdog: Option<Child>,
}

/// A cluster's part of a site.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// Names the network namespace and the control group.
    pub name: String,
    /// The node's address, and the API server's.
    pub address: Ipv4Addr,
    /// The pods' addresses.
    pub pods: String,
}

impl Seat {
    /// The network namespace's file.
    pub fn file(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// The namespace as an argument of `nsenter`.
    pub fn net(&self) -> OsString {
        let mut argument = OsString::from("--net=");
        argument.push(self.file());
        argument
    }

    pub fn place(&self) -> Place {
        Place {
            namespace: self.file(),
            address: self.address,
        }
    }
}

impl Site {
    /// Ensures the programs that real nodes need, and makes a switch. An error says why it cannot: see
    /// [`missing`](super::missing()).
    pub async fn new(name: &str) -> Result<Self> {
        if let Some(reason) = super::missing() {
            bail!("{reason}");
        }
        let testbed = Testbed::new(name).await?.with_nodes().await?;
        let images = super::node::images(&testbed).await?;
        cleaning::clean_orphans()?;
        let number = claim(testbed.dir())?;
        // From here on dropping it removes it.
        let mut ground = Ground {
            testbed,
            images,
            number,
            clusters: Mutex::new(0),
            watchdog: None,
        };
        ground.watchdog = Some(cleaning::watch(&ground.name(), ground.testbed.dir())?);
        ground.connect()?;
        Ok(Self(Arc::new(ground)))
    }

    /// The run with its programs and its folder.
    pub fn testbed(&self) -> &Testbed {
        &self.0.testbed
    }

    /// The name that all of it carries: a link of this machine, network namespaces and control groups (`NAME` and `NAME.*`).
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// This program's address, as the clusters see it.
    pub fn address(&self) -> Ipv4Addr {
        self.0.address(1)
    }

    /// The archives of the images that every node needs.
    pub(super) fn images(&self) -> &[PathBuf] {
        &self.0.images
    }

    /// Makes a cluster's network namespace.
    pub(super) fn seat(&self, cluster: &str) -> Result<Seat> {
        let index = {
            let mut clusters = self.0.clusters.lock();
            ensure!(*clusters < CLUSTERS, "{CLUSTERS} clusters were started here");
            *clusters += 1;
            9 + *clusters
        };
        let (site, number) = (self.0.name(), self.0.number);
        let seat = Seat {
            name: format!("{site}.{cluster}"),
            address: self.0.address(index),
            pods: format!("10.{number}.{index}.0/24"),
        };
        let Seat { name, address, pods } = &seat;
        ip(&format!("netns add {name}"))?;
        ip(&format!(
            "link add port{index} netns {site} type veth peer name eth0 netns {name}"
        ))?;
        ip(&format!("-netns {site} link set port{index} master switch up"))?;
        ip(&format!("-netns {name} address add {address}/24 dev eth0"))?;
        ip(&format!("-netns {name} link set lo up"))?;
        ip(&format!("-netns {name} link set eth0 up"))?;
        ip(&format!("route add {pods} via {address} dev {site}"))?;
        Ok(seat)
    }
}

impl Ground {
    fn name(&self) -> String {
        format!("{PREFIX}{}", self.number)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, last)
    }

    /// The switch, and this program's link to it.
    fn connect(&self) -> Result<()> {
        let (name, address) = (self.name(), self.address(1));
        ip(&format!("netns add {name}"))?;
        ip(&format!("-netns {name} link add switch type bridge"))?;
        ip(&format!("-netns {name} link set switch up"))?;
        ip(&format!("link set {name}p netns {name}"))?;
        ip(&format!("-netns {name} link set {name}p master switch up"))?;
        ip(&format!("address add {address}/24 dev {name}"))?;
        ip(&format!("link set {name} up"))?;
        Ok(())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Err(error) = cleaning::clean(&self.name(), self.testbed.dir()) {
            eprintln!("testbed: {error:#}");
        }
        if let Some(mut watchdog) = self.watchdog.take() {
            if let Some(stdin) = &mut watchdog.stdin {
                // Fails when the watchdog was killed: then nobody needs the word.
                let _ = stdin.write_all(b"ended\n");
            }
            let _ = watchdog.wait();
        }
    }
}

/// Whether this is the name of a site.
pub(super) fn is_name(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|number| number.parse().is_ok_and(|number: u8| NUMBERS.contains(&number)))
}

/// Takes a number that nobody uses, by making the link of that name.
fn claim(folder: &Path) -> Result<u8> {
    let path = PathBuf::from(LOCK);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let lock = File::create(&path).with_context(|| LOCK.to_owned())?;
    lock.lock()?;
    let routes = ip("-4 route show table all")?;
    let folder = folder.display();
    for number in NUMBERS {
        let name = format!("{PREFIX}{number}");
        let used = routes.contains(&format!("10.{number}.")) || Path::new("/sys/class/net").join(&name).exists();
        if used {
            continue;
        }
        ip(&format!("link add {name} type veth peer name {name}p"))?;
        // Says whose it is, for those who find it without an owner.
        super::run("ip", ["link", "set", &name, "alias", &folder.to_string()])?;
        return Ok(number);
    }
    bail!(
        "all of 10.{}.0.0 to 10.{}.0.0 are in use",
        NUMBERS.start,
        NUMBERS.end - 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_names() {
        assert!(is_name("mct128") && is_name("mct227"));
        for other in ["mct128p", "mct127", "mct", "eth0", "mct300", "mct128.a"] {
            assert!(!is_name(other), "{other}");
        }
    }
}
