//! One pod from the source to a target and back.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use testbed::product::{Product, Role};
use testbed::{ClusterOptions, NodePool, Testbed, eventually};

#[tokio::test]
async fn a_deployment_runs_in_two_targets() -> Result<()> {
    let testbed = Testbed::new("walk").await?;
    let start = Instant::now();
    let targets = ["us", "eu"].map(|name| ClusterOptions::new(name, [NodePool::new("node", 10).label("topology.kubernetes.io/region", name)]));
    let source = ClusterOptions::new("source", []);
    let product = Product::start(&testbed, source, Role::Source, targets.into()).await?;
    println!("installed in {:?}", start.elapsed());
    product.connect_all().await?;
    println!("connected in {:?}", start.elapsed());
    product.namespace("walk").await?;
    let start = Instant::now();
    product
        .source
        .cluster
        .apply_yaml(
            r#"{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: walk}, spec: {replicas: 20, selector: {matchLabels: {app: web}},
            template: {metadata: {labels: {app: web}, annotations: {multicluster.admiralty.io/elect: ""}}, spec: {containers: [{name: web, image: none, resources: {requests: {cpu: 100m}}}]}}}}"#,
        )
        .await?;
    let deployments = Api::<Deployment>::namespaced(product.source.cluster.client(), "walk");
    eventually("20 pods available", Duration::from_secs(60), async || {
        let ready = deployments.get("web").await?.status.and_then(|s| s.available_replicas).unwrap_or_default();
        Ok((ready == 20).then_some(()))
    })
    .await?;
    println!("20 pods in {:?}", start.elapsed());
    println!("{}", product.source.cluster.kubectl(&["get", "pods,nodes", "-n", "walk", "-o", "wide"]).await?);
    Ok(())
}
