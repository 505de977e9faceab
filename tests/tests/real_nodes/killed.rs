//! A program that holds a cluster is killed: it can remove nothing itself.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testbed::{
    Process, Testbed, eventually,
    real::{Cluster, Options, Site},
};

use crate::{clusters::hello, leftovers};

/// The variable that makes this program [`hold`] a cluster: the file to tell of it in.
pub const FILE: &str = "REAL_NODES_HELD";
/// The variable that says what: `site` or `cluster`.
const WHAT: &str = "REAL_NODES_HOLD";

/// The watchdog removes all of it, containers too.
pub async fn nothing_is_left() -> Result<()> {
    let testbed = Testbed::new("real-nodes-killed").await?;
    let held = Held::start(&testbed, "cluster").await?;
    let before = leftovers::of(&held.name, &held.folder)?;
    ensure!(before.len() > 10, "{before:#?}");

    held.holder.kill().await?;

    leftovers::gone(&before, &held.name, &held.folder, Duration::from_secs(30)).await
}

/// Nobody is left to remove it but the next run.
pub async fn the_next_run_removes_it() -> Result<()> {
    let testbed = Testbed::new("real-nodes-orphaned").await?;
    let held = Held::start(&testbed, "site").await?;
    let before = leftovers::of(&held.name, &held.folder)?;

    for watchdog in watchdogs(&held.name)? {
        kill(watchdog, Signal::SIGKILL)?;
    }
    held.holder.kill().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(
        leftovers::of(&held.name, &held.folder)? == before,
        "somebody else removes it"
    );

    // The same number is free again, and may be taken at once.
    let next = Site::new("next").await?;
    let folder = fs::read_to_string(format!("/sys/class/net/{}/ifalias", next.name()))?;
    ensure!(Path::new(folder.trim_end()) == next.testbed().dir(), "{folder}");
    drop(next);
    leftovers::gone(&before, &held.name, &held.folder, Duration::from_secs(1)).await
}

/// A site of another program's.
struct Held {
    holder: Process,
    name: String,
    folder: PathBuf,
}

impl Held {
    async fn start(testbed: &Testbed, what: &str) -> Result<Self> {
        let file = testbed.dir().join("held");
        let env = [
            (FILE, file.display().to_string()),
            (WHAT, what.to_owned()),
            ("TMPDIR", testbed.dir().display().to_string()),
        ];
        let env = env.map(|(key, value)| (key.to_owned(), value));
        let none: [&str; 0] = [];
        let holder = testbed.spawn("holder", &env::current_exe()?, none, env)?;
        let held = eventually(&format!("a {what}"), Duration::from_secs(180), async || {
            holder.check()?;
            Ok(fs::read_to_string(&file).ok())
        })
        .await?;
        let (name, folder) = held.split_once('\n').context("two lines")?;
        Ok(Self {
            name: name.to_owned(),
            folder: folder.into(),
            holder,
        })
    }
}

/// The watchdogs of the site `name`.
fn watchdogs(name: &str) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let file_name = entry?.file_name().display().to_string();
        let Ok(pid) = file_name.parse() else { continue };
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if words.contains(&format!("\0testbed-watchdog\0{name}\0")) {
            found.push(Pid::from_raw(pid));
        }
    }
    ensure!(!found.is_empty(), "{name} has no watchdog");
    Ok(found)
}

/// Starts a site, and a cluster with a pod if that is asked for, tells of it, and waits to be killed.
pub async fn hold(file: &Path) -> Result<()> {
    let site = Site::new("held").await?;
    let _cluster = match env::var(WHAT).as_deref() {
        Ok("site") => None,
        _ => Some(cluster_with_a_pod(&site).await?),
    };
    let partial = file.with_extension("partial");
    fs::write(&partial, format!("{}\n{}", site.name(), site.testbed().dir().display()))?;
    fs::rename(partial, file)?;
    std::future::pending().await
}

async fn cluster_with_a_pod(site: &Site) -> Result<Cluster> {
    let image = hello(site).await?;
    let cluster = Cluster::start(site, Options::new("held").image(image)).await?;
    cluster
        .kubectl(&["run", "hello", "--image=testbed.local/hello-world:1"])
        .await?;
    cluster
        .kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/hello"])
        .await?;
    Ok(cluster)
}
