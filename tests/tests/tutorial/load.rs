//! One Deployment over two clusters is scaled by the CPU that its pods really use.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use testbed::autoscaling::{Scaled, Wanted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::world::World;

/// metrics-server looks each 10 s, the autoscaler each 15 s.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long one request keeps a pod busy, and how often it comes: about a tenth of a core each.
const BURN: &str = "/burn?ms=50";
const PAUSE: Duration = Duration::from_millis(400);

/// More pods come while there is load, in both clusters.
pub async fn autoscaled(world: &World) -> Result<()> {
    let mut load = JoinSet::new();
    for target in world.targets() {
        load.spawn(burn(target.client()));
    }
    let scaled = Scaled {
        namespace: "default",
        name: "global",
        least: 2,
        most: 6,
        percent: 60,
    };
    let wanted = Wanted::AtLeast { pods: 4, nodes: 2 };
    let result = scaled.has(&world.management.client(), wanted, PATIENCE).await;
    load.abort_all();
    result.map(drop)
}

/// Asks every delegate there is, again and again, until it is aborted.
async fn burn(client: Client) {
    loop {
        for pod in running(&client, "multicluster.admiralty.io/app=global")
            .await
            .unwrap_or_default()
        {
            if let Some(address) = pod.status.and_then(|status| status.pod_ip) {
                // One that is just ending does not answer.
                tokio::spawn(async move { drop(get(&address).await) });
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn get(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((address, 8080)).await?;
    let request = format!("GET {BURN} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

async fn running(client: &Client, selector: &str) -> Result<Vec<Pod>> {
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    let pods = pods.list(&ListParams::default().labels(selector)).await?.items;
    Ok(pods
        .into_iter()
        .filter(|pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running"))
        .collect())
}
