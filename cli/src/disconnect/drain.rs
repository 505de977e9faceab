//! Evicts the pods of a virtual node, as `kubectl drain` does.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::EvictParams;
use kube::{Api, ResourceExt};

use super::pods_on;
use crate::connect::wait::Patience;
use crate::contexts::Cluster;
use crate::failure::Failure;
use crate::words::is_not_found;

/// Cordon the node, evict its pods, and wait until they are gone. A disruption budget may refuse for a while.
pub async fn drain(cluster: &Cluster, node: &str, patience: &Patience<'_>) -> Result<(), Failure> {
    let nodes = Api::<Node>::all(cluster.client.clone());
    match nodes.cordon(node).await {
        Err(error) if is_not_found(&error) => return Ok(()),
        cordoned => drop(cordoned.map_err(|error| cluster.problem(&error))?),
    }
    let done = evict_all(cluster, node, patience).await;
    if done.is_err() {
        // What existed before stays as it was.
        let _ = nodes.uncordon(node).await;
    }
    done
}

async fn evict_all(cluster: &Cluster, node: &str, patience: &Patience<'_>) -> Result<(), Failure> {
    let ask = async || {
        let Ok(pods) = pods_on(cluster, node).await else {
            return Ok(Err("its pods cannot be listed".to_owned()));
        };
        let mut refused = None;
        for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            refused = evict(cluster, pod).await?.or(refused);
        }
        Ok(match (pods.len(), refused) {
            (0, _) => Ok(()),
            (left, None) => Err(format!("{left} pods are left")),
            (left, Some(refused)) => Err(format!("{left} pods are left; {refused}")),
        })
    };
    let what = format!("the end of the pods on {node}");
    let advice =
        "The node takes pods again, and nothing has been deleted: raise --timeout, or look at PodDisruptionBudgets";
    patience.until(&what, advice, ask, |error| cluster.words(error)).await
}

/// Evict a pod. Why it is refused just now, if it is.
async fn evict(cluster: &Cluster, pod: &Pod) -> Result<Option<String>, kube::Error> {
    let namespace = pod.namespace().unwrap_or_default();
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), &namespace);
    match pods.evict(&pod.name_any(), &EvictParams::default()).await {
        Ok(_) => Ok(None),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 429 => Ok(Some(status.message.clone())),
        Err(error) => Err(error),
    }
}
