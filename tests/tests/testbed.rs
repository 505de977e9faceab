//! The testbed's own test: clusters start, and behave as clusters.
#![allow(clippy::unwrap_used)]

mod hook;

use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::Api;
use testbed::{Cluster, ClusterOptions, Component, NodePool, Scheduler, Streams, Testbed, eventually, free_port};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn two_clusters() -> Result<()> {
    let testbed = Testbed::new("two-clusters").await?;
    let start = Instant::now();
    let mut options = ClusterOptions::new("a", [NodePool::new("node", 2)]);
    options.cert_manager = true;
    let pools = [
        NodePool::new("node", 10)
            .label("zone", "z")
            .taint("dedicated", "x", "PreferNoSchedule"),
        NodePool::new("gpu", 1).allocatable("example.com/gpu", "4"),
    ];
    let mut b = ClusterOptions::new("b", pools);
    b.scheduler =
        Scheduler::Config("profiles: [{schedulerName: default-scheduler}, {schedulerName: other}]".to_owned());
    let streams = Streams::start(testbed.dir()).await?;
    b.kwok_config = streams.kwok_config();
    b.crds = vec![testbed.dir().join("crd.yaml")];
    std::fs::write(&b.crds[0], CRD)?;
    let (a, b) = tokio::try_join!(Cluster::start(&testbed, options), Cluster::start(&testbed, b))?;
    println!("two clusters in {:?}", start.elapsed());

    let start = Instant::now();
    tokio::try_join!(
        deployment_runs(&b),
        pods_stream(&b, &streams),
        webhook_is_called(&a),
        token_works(&a),
        serves(&b),
        schedulers_run(&b)
    )?;
    println!("checks in {:?}", start.elapsed());

    let start = Instant::now();
    restarts(&b).await?;
    println!("restart in {:?}", start.elapsed());
    Ok(())
}

/// kwok makes the pods of its own nodes run, and does not touch a node that is not its own.
async fn deployment_runs(cluster: &Cluster) -> Result<()> {
    cluster
        .apply_yaml("{apiVersion: v1, kind: Node, metadata: {name: not-kwok}}")
        .await?;
    cluster
        .kubectl(&["create", "deployment", "web", "--image=none", "--replicas=20"])
        .await?;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), "default");
    eventually("20 pods to run", MINUTE, async || {
        let status = deployments.get("web").await?.status.unwrap_or_default();
        Ok((status.ready_replicas == Some(20)).then_some(()))
    })
    .await?;
    let ready = cluster.kubectl(&[
        "get",
        "node",
        "not-kwok",
        "-o",
        "jsonpath={.status.conditions[?(@.type=='Ready')].status}",
    ]);
    assert_ne!(ready.await?, "True");
    Ok(())
}

/// What a pod says is in its logs, and commands run in it.
async fn pods_stream(cluster: &Cluster, streams: &Streams) -> Result<()> {
    cluster.kubectl(&["run", "speaker", "--image=none"]).await?;
    cluster
        .kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/speaker"])
        .await?;
    streams.say("hello")?;
    assert_eq!(cluster.kubectl(&["logs", "speaker"]).await?, "hello\n");
    let echo = ["exec", "--stdin", "speaker", "--", "head", "-c", "5"];
    assert_eq!(cluster.kubectl_with_input(&echo, "hello again").await?, "hello");
    Ok(())
}

/// cert-manager issues the webhook's certificate, cainjector tells the API server its authority, and the API server calls
/// the webhook through a Service, as in production.
async fn webhook_is_called(cluster: &Cluster) -> Result<()> {
    let port = free_port()?;
    cluster.expose_local("default", "hook", port).await?;
    cluster.apply_yaml(CERTIFICATES).await?;
    cluster.apply_yaml(&WEBHOOK.replace("PORT", &port.to_string())).await?;
    let dir = cluster.log_dir().join("hook");
    cluster.secret_to_dir("default", "hook-cert", &dir).await?;
    let server = tokio::spawn(hook::serve(port, dir));

    let refused = ["create", "configmap", "refused", "--dry-run=server"];
    let answer = eventually("the webhook to be called", MINUTE, async || {
        let answer = cluster.kubectl(&refused).await.err().map(|error| error.to_string());
        Ok(answer.filter(|answer| answer.contains("denied the request")))
    })
    .await?;
    assert!(answer.contains("the hook says no to refused"), "{answer}");
    server.abort();
    Ok(())
}

async fn token_works(cluster: &Cluster) -> Result<()> {
    let path = cluster.log_dir().join("default.kubeconfig");
    std::fs::write(&path, cluster.service_account_kubeconfig("default", "default").await?)?;
    let kubeconfig = format!("--kubeconfig={}", path.display());
    let who = cluster.kubectl(&[&kubeconfig, "auth", "whoami"]).await?;
    assert!(who.contains("system:serviceaccount:default:default"), "{who}");
    Ok(())
}

/// The configuration's second profile, and one more scheduler; the pods come from a kustomization.
async fn schedulers_run(cluster: &Cluster) -> Result<()> {
    let second = cluster
        .start_scheduler("second", "profiles: [{schedulerName: second}]")
        .await?;
    let dir = cluster.log_dir().join("kustomization");
    std::fs::create_dir(&dir)?;
    std::fs::write(dir.join("kustomization.yaml"), "resources: [pods.yaml]")?;
    let pods = ["other", "second"].map(|name| POD.replace("NAME", name));
    std::fs::write(dir.join("pods.yaml"), pods.join("---"))?;
    cluster.apply_kustomize(&dir).await?;
    for pod in ["pod/other", "pod/second"] {
        cluster
            .kubectl(&["wait", "--for=condition=ready", "--timeout=60s", pod])
            .await?;
    }
    // Without leader election kube-scheduler answers a polite request with exit status 1.
    assert_eq!(second.stop().await?.code(), Some(1));
    Ok(())
}

async fn serves(cluster: &Cluster) -> Result<()> {
    assert!(cluster.kubectl(&["version"]).await?.contains("Server Version: v1.36"));
    cluster.kubectl(&["get", "things.example.com"]).await?;
    assert!(cluster.metrics().await?.contains("apiserver_request_total"));
    Ok(())
}

async fn restarts(cluster: &Cluster) -> Result<()> {
    cluster.component(Component::ApiServer)?.kill().await?;
    cluster.component(Component::Etcd)?.restart().await?;
    cluster.component(Component::ApiServer)?.start()?;
    cluster.wait_ready(MINUTE).await?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    assert!(
        maps.get_opt("kube-root-ca.crt").await?.is_some(),
        "the data is still there"
    );
    Ok(())
}

const CERTIFICATES: &str = r#"
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: self-signed, namespace: default}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: ca, namespace: default}
spec:
  isCA: true
  commonName: ca
  secretName: ca
  issuerRef: {name: self-signed}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca, namespace: default}
spec: {ca: {secretName: ca}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: hook, namespace: default}
spec:
  secretName: hook-cert
  dnsNames: [hook.default.svc]
  issuerRef: {name: ca}
"#;

const WEBHOOK: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: hook
  annotations: {cert-manager.io/inject-ca-from: default/hook}
webhooks:
  - name: hook.example.com
    clientConfig: {service: {namespace: default, name: hook, path: /validate, port: PORT}}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
    matchConditions: [{name: for-the-test, expression: "object.metadata.name == 'refused'"}]
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Fail
"#;

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: default}
spec: {schedulerName: NAME, containers: [{name: c, image: none}]}
"#;

const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"#;
