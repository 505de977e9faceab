//! Connects a source to a target, as a user does.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use multicluster_api::TargetRef;
use serde_json::json;

use super::{NAMESPACE, Product};
use crate::{Cluster, Link, eventually};

/// Which pods may use a target.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Those of one namespace: Target and Source.
    Namespace(&'a str),
    /// All: ClusterTarget and ClusterSource.
    Cluster,
}

impl Product {
    /// Let the source cluster send pods to a target cluster. Returns the name of the virtual node, which is Ready.
    pub async fn connect(&self, target: &str, scope: Scope<'_>) -> Result<String> {
        let kubeconfig = grant(&self.target(target)?.cluster, scope).await?;
        self.add_target(target, scope, &kubeconfig).await
    }

    /// [`Product::connect`], by way of a link that a test can disturb.
    pub async fn connect_through(&self, link: &Link, target: &str, scope: Scope<'_>) -> Result<String> {
        let cluster = &self.target(target)?.cluster;
        let kubeconfig = link.through(cluster, &grant(cluster, scope).await?);
        self.add_target(target, scope, &kubeconfig).await
    }

    async fn add_target(&self, target: &str, scope: Scope<'_>, kubeconfig: &str) -> Result<String> {
        let reference = add_target(&self.source.cluster, target, scope, kubeconfig).await?;
        let node: String = reference.virtual_node().into();
        self.wait_node_ready(&node).await?;
        Ok(node)
    }

    /// Connect all targets for all namespaces.
    pub async fn connect_all(&self) -> Result<()> {
        let targets = self.targets.keys().map(|target| self.connect(target, Scope::Cluster));
        futures::future::try_join_all(targets).await.map(drop)
    }

    /// Wait until a virtual node is Ready.
    pub async fn wait_node_ready(&self, node: &str) -> Result<()> {
        let nodes = Api::<Node>::all(self.source.cluster.client());
        eventually(
            &format!("the virtual node {node} to be Ready"),
            Duration::from_secs(60),
            async || {
                self.source.agent.check()?;
                let found = nodes.get_opt(node).await?;
                Ok(found.filter(crate::nodes::is_ready))
            },
        )
        .await
        .map(drop)
    }
}

/// In the target: make a Source, and a kubeconfig for its identity.
pub async fn grant(target: &Cluster, scope: Scope<'_>) -> Result<String> {
    let (source, namespace) = match scope {
        Scope::Namespace(namespace) => (
            json!({
                "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Source",
                "metadata": { "name": "management", "namespace": namespace },
                "spec": { "serviceAccountName": "management" },
            }),
            namespace,
        ),
        Scope::Cluster => (
            json!({
                "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "ClusterSource",
                "metadata": { "name": "management" },
                "spec": { "serviceAccount": { "namespace": NAMESPACE, "name": "management" } },
            }),
            NAMESPACE,
        ),
    };
    target.apply_yaml(&source.to_string()).await?;
    let path = match scope {
        Scope::Namespace(ns) => format!("/apis/multicluster.admiralty.io/v1alpha1/namespaces/{ns}/sources/management"),
        Scope::Cluster => "/apis/multicluster.admiralty.io/v1alpha1/clustersources/management".to_owned(),
    };
    eventually("the Source to be Ready", Duration::from_secs(30), async || {
        let source: serde_json::Value = serde_json::from_str(&target.get(&path).await?)?;
        let conditions = source["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
            .then_some(()))
    })
    .await?;
    target.service_account_kubeconfig(namespace, "management").await
}

/// In the source: put the kubeconfig into a Secret, and make the Target.
pub async fn add_target(source: &Cluster, name: &str, scope: Scope<'_>, kubeconfig: &str) -> Result<TargetRef> {
    let (namespace, target, reference) = match scope {
        Scope::Namespace(namespace) => (
            namespace,
            json!({
                "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Target",
                "metadata": { "name": name, "namespace": namespace },
                "spec": { "kubeconfigSecret": { "name": name } },
            }),
            TargetRef::namespaced(namespace, name),
        ),
        Scope::Cluster => (
            NAMESPACE,
            json!({
                "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "ClusterTarget",
                "metadata": { "name": name },
                "spec": { "kubeconfigSecret": { "namespace": NAMESPACE, "name": name } },
            }),
            TargetRef::cluster(name),
        ),
    };
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": name, "namespace": namespace },
        "stringData": { "config": kubeconfig },
    });
    source.apply_yaml(&secret.to_string()).await?;
    source.apply_yaml(&target.to_string()).await.context("the Target")?;
    Ok(reference)
}
