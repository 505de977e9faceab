//! A program that holds a cluster is killed: it can remove nothing itself.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use testbed::{
    Testbed, eventually,
    real::{Cluster, Options, Site},
};

use crate::{clusters::hello, leftovers};

/// The variable that makes this program [`hold`] a cluster: the file to tell of it in.
pub const FILE: &str = "REAL_NODES_HELD";

pub async fn nothing_is_left() -> Result<()> {
    let testbed = Testbed::new("real-nodes-killed").await?;
    let file = testbed.dir().join("held");
    let env = [(FILE, file.clone()), ("TMPDIR", testbed.dir().to_owned())];
    let env = env.map(|(key, path)| (key.to_owned(), path.display().to_string()));
    let none: [&str; 0] = [];
    let holder = testbed.spawn("holder", &env::current_exe()?, none, env)?;
    let held = eventually("a cluster to run a pod", Duration::from_secs(180), async || {
        holder.check()?;
        Ok(fs::read_to_string(&file).ok())
    })
    .await?;
    let (name, folder) = held.split_once('\n').context("two lines")?;
    let folder = PathBuf::from(folder);
    let before = leftovers::of(name, &folder)?;
    ensure!(before.len() > 10, "{before:#?}");

    holder.kill().await?;

    leftovers::gone(&before, name, &folder, Duration::from_secs(30)).await
}

/// Starts a cluster with a pod, tells of it, and waits to be killed.
pub async fn hold(file: &Path) -> Result<()> {
    let site = Site::new("held").await?;
    let image = hello(&site).await?;
    let cluster = Cluster::start(&site, Options::new("held").image(image)).await?;
    cluster
        .kubectl(&["run", "hello", "--image=testbed.local/hello-world:1"])
        .await?;
    cluster
        .kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/hello"])
        .await?;
    let partial = file.with_extension("partial");
    fs::write(&partial, format!("{}\n{}", site.name(), site.testbed().dir().display()))?;
    fs::rename(partial, file)?;
    std::future::pending().await
}
