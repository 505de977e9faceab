//! Two clusters side by side, and what a person does with the pods in them.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use testbed::{
    eventually,
    real::{self, Cluster, Image, Options, Site},
};

use crate::leftovers;

const HELLO: &str = "testbed.local/hello-world:1";
const SOON: Duration = Duration::from_secs(60);

/// hello-world with a shell, so that commands run in its container.
pub async fn hello(site: &Site) -> Result<PathBuf> {
    let program = real::program("hello-world").await?;
    let image = Image::of(HELLO, "/hello-world", program).busybox();
    image.write(&site.testbed().dir().join("images"))
}

pub async fn two() -> Result<()> {
    let site = Site::new("real-nodes").await?;
    let (name, folder) = (site.name(), site.testbed().dir().to_owned());
    let image = hello(&site).await?;
    let options = |name: &str, region: &str| {
        Options::new(name)
            .label("topology.kubernetes.io/region", region)
            .image(&image)
    };
    let start = Instant::now();
    let (a, b) = tokio::try_join!(
        Cluster::start(&site, options("a", "here")),
        Cluster::start(&site, options("b", "there"))
    )?;
    println!("two clusters in {:?}", start.elapsed());

    let start = Instant::now();
    tokio::try_join!(pods_serve(&a), pods_serve(&b))?;
    reach_each_other(&a, &b).await?;
    certificates_are_checked(&a).await?;
    println!("checks in {:?}", start.elapsed());

    let before = leftovers::of(&name, &folder)?;
    for kind in ["link ", "namespace ", "group ", "process "] {
        ensure!(
            before.iter().any(|thing| thing.starts_with(kind)),
            "no {kind}in {before:#?}"
        );
    }
    let start = Instant::now();
    let namespace = b.namespace();
    b.stop().await?;
    ensure!(!namespace.exists(), "{} is left", namespace.display());
    // The other one does not notice.
    ensure!(exec(&a, &["echo", "hello"]).await? == "hello\n");
    drop((a, site));
    println!("removed in {:?}", start.elapsed());
    leftovers::gone(&before, &name, &folder, Duration::from_secs(1)).await
}

/// A Deployment of two pods behind a Service: logs, exec, HTTP by address, by Service, by name.
async fn pods_serve(cluster: &Cluster) -> Result<()> {
    cluster.apply_yaml(&WORKLOAD.replace("IMAGE", HELLO)).await?;
    let rollout = ["rollout", "status", "deployment/hello", "--timeout=60s"];
    cluster.kubectl(&rollout).await?;
    let get = async |object: &str, path: &str| {
        let path = format!("jsonpath={{{path}}}");
        cluster.kubectl(&["get", object, "--output", &path]).await
    };
    let labels = get("nodes", ".items[*].metadata.labels").await?;
    ensure!(labels.contains(r#""topology.kubernetes.io/region":"#), "{labels}");

    let pod = get("pods", ".items[0].status.podIP").await?;
    let service = get("service/hello", ".spec.clusterIP").await?;
    let expected = format!("Hello, {}!\n", cluster.node_name());
    // From this machine, from the node, from a pod.
    let answer = get_from_here(&format!("http://{pod}:8080/")).await?;
    ensure!(answer == expected, "{answer:?}");
    let url = format!("http://{service}/");
    // kube-proxy may learn of the pods a moment later.
    let answer = eventually("the Service to answer", SOON, async || {
        Ok(Some(cluster.enter("curl", &["--silent", "--show-error", &url]).await?))
    });
    let answer = answer.await?;
    ensure!(answer == expected, "{answer:?}");
    for name in ["hello", "hello.default.svc", "hello.default.svc.cluster.local"] {
        let url = format!("http://{name}/");
        ensure!(
            exec(cluster, &["/hello-world", "get", &url]).await? == expected,
            "{name}"
        );
    }
    let unknown = exec(cluster, &["/hello-world", "get", "http://nobody.example.com/"]).await;
    ensure!(unknown.is_err_and(|error| error.to_string().contains("resolve")));

    let logs = cluster.kubectl(&["logs", "deployment/hello", "--all-pods"]).await?;
    ensure!(logs.contains("listening on port 8080"), "{logs}");
    ensure!(logs.contains("GET / HTTP/1.1 200 OK"), "{logs}");
    let echo = ["exec", "--stdin", "deployment/hello", "--", "cat"];
    ensure!(cluster.kubectl_with_input(&echo, "hello again").await? == "hello again");
    let failing = exec(cluster, &["sh", "-c", "exit 7"]).await;
    ensure!(failing.is_err_and(|error| error.to_string().contains("exit code 7")));
    Ok(())
}

/// Pods of one cluster reach another's API server, as agents do.
async fn reach_each_other(a: &Cluster, b: &Cluster) -> Result<()> {
    b.kubectl(&[
        "expose",
        "deployment/hello",
        "--name=outside",
        "--type=NodePort",
        "--port=80",
        "--target-port=8080",
    ])
    .await?;
    let port = ["get", "service/outside", "--output=jsonpath={.spec.ports[0].nodePort}"];
    let url = format!("http://{}:{}/", b.address(), b.kubectl(&port).await?);
    let answer = eventually("the NodePort to answer", SOON, async || {
        Ok(Some(exec(a, &["/hello-world", "get", &url]).await?))
    });
    ensure!(answer.await? == format!("Hello, {}!\n", b.node_name()));
    Ok(())
}

/// A kubelet asks who calls; the API server asks the kubelet for a certificate of the cluster's.
async fn certificates_are_checked(cluster: &Cluster) -> Result<()> {
    let url = format!("https://{}:10250/pods", cluster.address());
    let status = [
        "--silent",
        "--insecure",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        &url,
    ];
    let answer = cluster.enter("curl", &status).await?;
    ensure!(answer == "401", "an unknown caller got {answer}");
    Ok(())
}

async fn exec(cluster: &Cluster, command: &[&str]) -> Result<String> {
    let words = [&["exec", "deployment/hello", "--"], command].concat();
    cluster.kubectl(&words).await
}

async fn get_from_here(url: &str) -> Result<String> {
    let output = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", url])
        .output()
        .await
        .context("curl")?;
    ensure!(
        output.status.success(),
        "{url}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
      - name: hello
        image: IMAGE
        env: [{name: WORLD, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: hello, namespace: default}
spec:
  selector: {app: hello}
  ports: [{port: 80, targetPort: 8080}]
"#;
