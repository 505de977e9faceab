//! The background process of `testbed up`: starts the clusters, connects them, and lives until it is told to end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::clusters::{self, MANAGEMENT};
use super::placement::NAMESPACE;
use super::state::State;
use crate::product::Product;
use crate::{Cluster, Testbed};

/// Serve until SIGTERM or SIGINT. Returns at once if somebody else serves.
pub async fn serve() -> Result<()> {
    let state = State::new()?;
    let Some(_lock) = state.serve()? else {
        println!("somebody else serves");
        return Ok(());
    };
    state.clear();
    // The terminal that `up` was typed in may close.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = async { while hangup.recv().await.is_some() {} } => {}
        }
    };
    let served = tokio::select! {
        served = work(&state) => served,
        () = end => Ok(()),
    };
    state.clear();
    served
}

/// Does not return, unless something fails.
async fn work(state: &State) -> Result<()> {
    let testbed = Testbed::new("up").await?;
    let (product, outside) = clusters::start(&testbed).await?;
    product.connect_all().await?;
    product.namespace(NAMESPACE).await?;
    offer_kubectl(&testbed.binaries().find("kubectl")?, &state.bin())?;
    fs::write(state.dns(), outside.server().to_string())?;
    write_kubeconfig(&product, &state.kubeconfig())?;
    println!("ready; logs are in {}", testbed.dir().display());
    std::future::pending().await
}

fn offer_kubectl(kubectl: &Path, bin: &Path) -> Result<()> {
    fs::create_dir_all(bin)?;
    let link = bin.join("kubectl");
    // Missing the first time.
    let _ = fs::remove_file(&link);
    symlink(kubectl, &link).with_context(|| link.display().to_string())
}

/// All clusters in one file, a context each, named like the cluster.
fn write_kubeconfig(product: &Product, path: &Path) -> Result<()> {
    let mut all = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": MANAGEMENT,
        "clusters": [], "users": [], "contexts": [],
    });
    for seat in product.seats() {
        add(&mut all, &seat.cluster)?;
    }
    // Never half a file: its existence says that all is ready.
    let partial = path.with_extension("partial");
    fs::write(&partial, serde_json::to_string_pretty(&all)?)?;
    fs::rename(&partial, path)?;
    Ok(())
}

fn add(all: &mut Value, cluster: &Cluster) -> Result<()> {
    let mut own: Value = serde_json::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
    let name = cluster.name();
    own["users"][0]["name"] = json!(name);
    own["contexts"][0] = json!({ "name": name, "context": { "cluster": name, "user": name, "namespace": NAMESPACE } });
    for list in ["clusters", "users", "contexts"] {
        let entry = own[list][0].take();
        all[list].as_array_mut().context("a list")?.push(entry);
    }
    Ok(())
}
