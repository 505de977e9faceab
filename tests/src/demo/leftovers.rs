//! What should be gone but is not: pods, chaperons, virtual nodes, what followed pods, what made them known outside, and
//! objects with one of our finalizers.

use anyhow::{Result, ensure};
use multicluster_api::names;

use crate::Cluster;

/// A line per object: kind, namespace, name, finalizers, labels.
const COLUMNS: &str = r#"jsonpath={range .items[*]}{.kind}{"\t"}{.metadata.namespace}/{.metadata.name}{"\t"}{.metadata.finalizers}{"\t"}{.metadata.labels}{"\n"}{end}"#;
/// Kinds of what the demo makes, and what is made of it; in its namespace only Kubernetes' own are of these kinds.
const EXPOSED: [&str; 6] = [
    "ConfigMap",
    "Secret",
    "Service",
    "Ingress",
    "EndpointSlice",
    "DNSEndpoint",
];
/// Kubernetes' own.
const KUBERNETES: [&str; 3] = [
    "ConfigMap\tdefault/kube-root-ca.crt",
    "Service\tdefault/kubernetes",
    "EndpointSlice\tdefault/kubernetes",
];

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
    let mut columns = object.splitn(4, '\t');
    let (kind, name, finalizers, labels) = (columns.next(), columns.next(), columns.next(), columns.next());
    let is_virtual_node = kind == Some("Node") && name.is_some_and(|name| name.starts_with("/admiralty-"));
    is_virtual_node
        || matches!(kind, Some("Pod" | "PodChaperon" | "Deployment" | "ReplicaSet") if !is_product(name))
        || is_exposed(object, kind, name)
        // A copy, wherever it is.
        || labels.is_some_and(|labels| labels.contains(names::PARENT_CLUSTER_NAME))
        // The product stays installed, and with it what keeps its rights until it has cleaned up after itself.
        || finalizers.is_some_and(|finalizers| finalizers.replace(names::UNINSTALL, "").contains(names::PREFIX))
}

fn is_exposed(object: &str, kind: Option<&str>, name: Option<&str>) -> bool {
    let kubernetes = |own: &str| object.strip_prefix(own).is_some_and(|rest| rest.starts_with('\t'));
    kind.is_some_and(|kind| EXPOSED.contains(&kind))
        && name.is_some_and(|name| name.starts_with(&format!("{}/", super::placement::NAMESPACE)))
        && !KUBERNETES.iter().any(|own| kubernetes(own))
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
            ("Secret\ta/a\t[\"multicluster.admiralty.io/x\"]\t", true),
            ("Service\tdefault/hello-world\t\t", true),
            ("Service\tdefault/kubernetes\t\t{\"component\":\"apiserver\"}", false),
            ("Service\tdefault/kubernetes-2\t\t", true),
            ("Service\tmulticluster-scheduler/multicluster-webhook\t\t", false),
            ("DNSEndpoint\tdefault/ingress-hello-world\t\t", true),
            ("EndpointSlice\tdefault/kubernetes\t\t", false),
            ("ConfigMap\tdefault/kube-root-ca.crt\t\t", false),
            (
                "Secret\ta/a\t\t{\"multicluster.admiralty.io/parent-cluster-name\":\"management\"}",
                true,
            ),
            ("Secret\ta/a\t\t", false),
            ("ClusterRole\t/a\t[\"multicluster.admiralty.io/uninstall\"]", false),
            ("Namespace\t/default\t[\"kubernetes\"]", false),
        ] {
            assert_eq!(is_leftover(object), leftover, "{object}");
        }
    }
}
