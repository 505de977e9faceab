//! What a reader would look at, section by section.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use testbed::eventually;
use testbed::real::Cluster;

use super::load;
use super::world::World;

const SOON: Duration = Duration::from_secs(60);

/// Checks the world after a block; `last` says that it was its section's last one.
pub async fn after(world: &World, section: &str, said: &str, last: bool) -> Result<()> {
    let number = section.split('.').next().unwrap_or_default();
    match number {
        "5" if said.contains("admiralty-") => connected(world).await,
        "6" if last => running(world).await,
        "7" => {
            ensure!(
                said.contains("Hello, eu-west-3-node!"),
                "port-forward led elsewhere: {said}"
            );
            ensure!(said.contains("listening on port 8080"), "no logs: {said}");
            talking(world).await
        }
        "8" if last => {
            for region in ["us-west-2", "eu-west-3"] {
                ensure!(
                    said.contains(&format!("Hello, {region}-node!")),
                    "{region} does not answer: {said}"
                );
            }
            Ok(())
        }
        "10" if last => load::autoscaled(world).await,
        "11" if !last => nothing_left(world).await,
        _ => Ok(()),
    }
}

async fn connected(world: &World) -> Result<()> {
    for target in world.targets() {
        let nodes = Api::<Node>::all(world.management.client());
        let selector = format!("multicluster.admiralty.io/target-name={}", target.name());
        let found = nodes.list(&ListParams::default().labels(&selector)).await?;
        ensure!(
            found.items.len() == 1,
            "{} virtual nodes for {}",
            found.items.len(),
            target.name()
        );
        let region = found.items[0].labels().get("topology.kubernetes.io/region");
        ensure!(
            region.is_some_and(|region| region == target.name()),
            "the region is {region:?}"
        );
    }
    Ok(())
}

async fn pods(cluster: &Cluster, selector: &str) -> Result<Vec<Pod>> {
    let pods = Api::<Pod>::namespaced(cluster.client(), "default");
    Ok(pods.list(&ListParams::default().labels(selector)).await?.items)
}

fn node(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default()
}

async fn running(world: &World) -> Result<()> {
    let proxies = pods(&world.management, "app=hello-world").await?;
    ensure!(
        proxies.len() == 4 && proxies.iter().all(|pod| node(pod).starts_with("admiralty-")),
        "{proxies:?}"
    );
    for target in world.targets() {
        let delegates = pods(target, "multicluster.admiralty.io/app=hello-world").await?;
        ensure!(
            delegates.len() == 2,
            "{} delegates in {}",
            delegates.len(),
            target.name()
        );
        ensure!(
            delegates.iter().all(|pod| node(pod) == target.node_name()),
            "not on the real node"
        );
    }
    Ok(())
}

/// What the page has no room for: exit codes, standard input, files to the pod, SPDY, the size of a terminal, attach, logs of the
/// container before this one.
async fn talking(world: &World) -> Result<()> {
    let said = world
        .run(concat!(
            "pod=$(kubectl get pods --selector region=us-west-2 --output name | tail -n 1)\n",
            "code=0; kubectl exec $pod -- sh -c 'exit 7' || code=$?; echo code $code\n",
            "echo from here | kubectl exec --stdin $pod -- cat\n",
            "kubectl logs $pod --tail 1 --timestamps\n",
            "sent=$(mktemp); echo to file > $sent\n",
            "kubectl cp $sent default/${pod#pod/}:/tmp/sent; kubectl exec $pod -- cat /tmp/sent; rm $sent\n",
            "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false kubectl exec $pod -- sh -c 'echo by spdy'\n",
            "script --quiet --return --command \"stty rows 33 cols 99; kubectl exec --stdin --tty $pod -- sh -c 'sleep 1; busybox stty size'\" /dev/null\n",
            "timeout 5 kubectl attach $pod || echo attached\n",
            // Its program ends, and the container begins anew.
            "kubectl exec $pod -- sh -c 'kill 1'\n",
            "for try in {1..60}; do kubectl logs $pod --previous > previous 2> /dev/null && break; sleep 0.5; done\n",
            "echo previous: $(head -n 1 previous); rm previous\n",
        ))
        .await?;
    for part in [
        "code 7",
        "from here",
        "to file",
        "by spdy",
        "33 99",
        "attached",
        "previous: listening",
    ] {
        ensure!(said.contains(part), "no {part:?} in:\n{said}");
    }
    Ok(())
}

async fn nothing_left(world: &World) -> Result<()> {
    for cluster in world.clusters() {
        let name = cluster.name();
        eventually("nothing to be left", SOON, async || {
            let text = cluster
                .kubectl(&[
                    "get",
                    "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,\
                    validatingwebhookconfigurations,validatingadmissionpolicies,nodes",
                    "--output=name",
                ])
                .await?;
            let left: BTreeSet<&str> = text
                .lines()
                .filter(|line| line.contains("multicluster") || line.contains("admiralty"))
                .collect();
            ensure!(left.is_empty(), "{name} still has {left:?}");
            let services = Api::<Service>::namespaced(cluster.client(), "default");
            let services = services.list(&ListParams::default()).await?;
            ensure!(
                services.iter().all(|service| service.name_any() == "kubernetes"),
                "Services in {name}"
            );
            let ingresses = Api::<Ingress>::namespaced(cluster.client(), "default");
            ensure!(
                ingresses.list(&ListParams::default()).await?.items.is_empty(),
                "Ingresses in {name}"
            );
            ensure!(pods(cluster, "").await?.is_empty(), "pods in {name}");
            Ok(Some(()))
        })
        .await?;
    }
    Ok(())
}
