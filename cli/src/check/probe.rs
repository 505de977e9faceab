//! Tries things out, without leaving anything behind.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use multicluster_api::names;
use serde_json::json;

use super::Finding;
use super::gather::Installation;
use crate::contexts::Cluster;
use crate::installed;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Try the webhook, and the kubelet API of each virtual node.
pub async fn probe(cluster: &Cluster, installation: &Installation) -> Vec<Finding> {
    let mut findings = vec![];
    if let Some(namespace) = installation.namespaces.first() {
        findings.push(webhook(cluster, namespace).await);
    }
    findings.extend(futures::future::join_all(installation.nodes.iter().map(|node| kubelet(cluster, node))).await);
    findings
}

/// Create an elected pod, as a dry run: the webhook makes a proxy pod of it.
async fn webhook(cluster: &Cluster, namespace: &str) -> Finding {
    let check = "webhook";
    let pod = serde_json::from_value(json!({
        "metadata": { "generateName": "multicluster-check-", "annotations": { names::ELECT: "" } },
        "spec": { "containers": [{
            "name": "main", "image": "none",
            "resources": { "requests": { "cpu": "1m", "memory": "1Mi" }, "limits": { "cpu": "1m", "memory": "1Mi" } },
            "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "runAsNonRoot": true,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
        }] },
    }));
    let Ok(pod) = pod else {
        return Finding::warning(check, "the pod to try it with cannot be made", "report this");
    };
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..Default::default()
    };
    let logs = format!(
        "kubectl -n {} logs deployment/{}",
        names::INSTALL_NAMESPACE,
        installed::WEBHOOK
    );
    match pods.create(&dry_run, &pod).await {
        Ok(pod) if pod.labels().contains_key(names::HAS_FINALIZER) => Finding::ok(
            check,
            format!("an elected pod in namespace {namespace} becomes a proxy pod (dry run)"),
        ),
        Ok(_) => Finding::error(
            check,
            format!("an elected pod in namespace {namespace} stays an ordinary one"),
            "is there a MutatingWebhookConfiguration multicluster-scheduler, with the rules of this version?",
        ),
        Err(kube::Error::Api(status)) if status.message.contains("failed calling webhook") => Finding::error(
            check,
            status.message.clone(),
            format!("does it run, and is its certificate good? {logs}"),
        ),
        Err(error) => Finding::warning(
            check,
            format!("could not be tried: {}", cluster.words(&error)),
            "create an elected pod yourself, with --dry-run=server",
        ),
    }
}

/// Ask the kubelet API of a virtual node, by way of the API server.
async fn kubelet(cluster: &Cluster, node: &Node) -> Finding {
    let name = node.name_any();
    let check = format!("kubelet API of {name}");
    let endpoint = node
        .status
        .as_ref()
        .and_then(|status| status.daemon_endpoints.as_ref()?.kubelet_endpoint.as_ref());
    if endpoint.is_none_or(|endpoint| endpoint.port == 0) {
        return Finding::warning(
            check,
            "the node names no port, so logs, exec and top do not work",
            "upgrade the agent, or turn its kubelet API on",
        );
    }
    // By its name: many virtual nodes share one address.
    let path = format!("/api/v1/nodes/{name}/proxy/nodes/{name}/healthz");
    let request = http::Request::get(path).body(vec![]);
    let Ok(request) = request else {
        return Finding::warning(check, "its name fits no path", "report this");
    };
    let fix = format!(
        "do the nodes of the control plane reach the agent's pods at port 10250 (firewalls, NetworkPolicies)? Are its \
         CertificateSigningRequests approved? kubectl -n {} logs deployment/{}",
        names::INSTALL_NAMESPACE,
        installed::AGENT
    );
    match tokio::time::timeout(ANSWER, cluster.client.request_text(request)).await {
        Ok(Ok(_)) => Finding::ok(check, "answers"),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Finding::warning(
            check,
            "your user may not ask it",
            "ask for the permission to get nodes/proxy",
        ),
        Ok(Err(error)) => Finding::error(check, cluster.words(&error), fix),
        Err(_) => Finding::error(check, format!("no answer within {} s", ANSWER.as_secs()), fix),
    }
}
