//! What should be gone but is not: pods, chaperons, virtual nodes, and objects with one of our finalizers.

use anyhow::{Result, ensure};
use multicluster_api::names;

use crate::Cluster;

/// A line per object: kind, namespace, name, finalizers.
const COLUMNS: &str = r#"jsonpath={range .items[*]}{.kind}{"\t"}{.metadata.namespace}/{.metadata.name}{"\t"}{.metadata.finalizers}{"\n"}{end}"#;

/// Looks at all objects of all kinds in a cluster, except events.
pub async fn find(cluster: &Cluster) -> Result<Vec<String>> {
    let kinds = cluster
        .kubectl(&["api-resources", "--verbs=list,get", "--output=name"])
        .await?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let objects = cluster
        .kubectl(&["get", &kinds.join(","), "--all-namespaces", "--output", COLUMNS])
        .await?;
    ensure!(
        objects
            .lines()
            .any(|object| object.starts_with("Namespace\t/default\t")),
        "the list of all objects is incomplete"
    );
    let found = objects.lines().filter(|object| is_leftover(object));
    Ok(found
        .map(|object| format!("{}: {}", cluster.name(), object.replace('\t', " ")))
        .collect())
}

fn is_leftover(object: &str) -> bool {
    let mut columns = object.splitn(3, '\t');
    let (kind, name, finalizers) = (columns.next(), columns.next(), columns.next());
    let is_virtual_node = kind == Some("Node") && name.is_some_and(|name| name.starts_with("/admiralty-"));
    is_virtual_node
        || matches!(kind, Some("Pod" | "PodChaperon" | "Deployment" | "ReplicaSet") if !is_product(name))
        // The product stays installed, and with it what keeps its rights until it has cleaned up after itself.
        || finalizers.is_some_and(|finalizers| finalizers.replace(names::UNINSTALL, "").contains(names::PREFIX))
}

/// The product's own Deployments are installed, without pods.
fn is_product(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.starts_with(&format!("{}/", crate::product::NAMESPACE)))
}

#[cfg(test)]
mod tests {
    use super::is_leftover;

    #[test]
    fn finds_what_should_be_gone() {
        for (object, leftover) in [
            ("Pod\tdefault/a\t", true),
            ("PodChaperon\tdefault/a\t", true),
            ("Node\t/admiralty-us\t", true),
            ("Node\t/oregon-0\t", false),
            ("Deployment\tmulticluster-scheduler/multicluster-agent\t", false),
            ("Secret\tdefault/a\t[\"multicluster.admiralty.io/x\"]", true),
            ("ClusterRole\t/a\t[\"multicluster.admiralty.io/uninstall\"]", false),
            ("Namespace\t/default\t[\"kubernetes\"]", false),
        ] {
            assert_eq!(is_leftover(object), leftover, "{object}");
        }
    }
}
