//! Helm in clusters: a source and a target, installed, upgraded, used, and uninstalled.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use multicluster_api::names;
use serde_json::Value;
use testbed::product::{NAMESPACE, Product, Programs, Role, Scope, Seat, call_webhooks_on, wait_for_ca};
use testbed::{Cluster, ClusterOptions, NodePool, Testbed, completing, eventually, free_port};

use super::fixtures::{Template, namespace};
use super::helm::{Helm, RELEASE, name_of};
use super::world::{SOON, World};

/// Pods of the release wait for a node that there is not: kwok would play them, and the processes of this test are them.
const NOWHERE: [&str; 8] = [
    "--set",
    "agent.nodeSelector.runs=elsewhere",
    "--set",
    "webhook.nodeSelector.runs=elsewhere",
    "--set",
    "extender.nodeSelector.runs=elsewhere",
    "--set",
    "scheduler.nodeSelector.runs=elsewhere",
];

pub async fn story(helm: Helm) -> Result<()> {
    let testbed = Testbed::new("chart").await?;
    let (source, target) = tokio::try_join!(cluster(&testbed, "source", true), cluster(&testbed, "us", false))?;
    installed_and_upgraded(&helm, &testbed, &source, "role=source").await?;
    installed_and_upgraded(&helm, &testbed, &target, "role=target").await?;
    refused_in_the_cluster(&helm, &source).await?;
    let world = used(&testbed, source, target).await?;
    let source = &world.product.source;
    source_uninstalled_without_its_agent(&helm, &world).await?;
    nothing_is_left(source, false).await?;
    let target = world.product.target("us")?;
    target_uninstalled_by_its_agent(&helm, target).await?;
    nothing_is_left(target, true).await
}

async fn cluster(testbed: &Testbed, name: &str, cert_manager: bool) -> Result<Cluster> {
    let mut options = ClusterOptions::new(name, vec![NodePool::new(name, 2)]);
    options.cert_manager = cert_manager;
    options.kwok_config = vec![completing(Duration::from_millis(300), Duration::ZERO)];
    Cluster::start(testbed, options).await
}

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &NOWHERE].concat()
}

/// An older version of the chart, then this one with more, then this one alone: each time the cluster has what is rendered,
/// and no more.
async fn installed_and_upgraded(helm: &Helm, testbed: &Testbed, cluster: &Cluster, role: &str) -> Result<()> {
    let older = helm.package("0.0.9", testbed.dir()).await?;
    let name = format!("clusterName={}", cluster.name());
    let set = ["--set", role, "--set", &name];
    let install = ["install", RELEASE, &older, "--create-namespace"];
    helm.on(cluster, &with(&[&install[..], &set].concat())).await?;
    as_rendered(helm, cluster).await?;
    let chart = helm.chart();
    let upgrade = ["upgrade", RELEASE, &chart];
    let more = [
        "--set",
        "networkPolicies.enabled=true",
        "--set",
        "monitoring.dashboard.enabled=true",
    ];
    helm.on(cluster, &with(&[&upgrade[..], &set, &more].concat())).await?;
    as_rendered(helm, cluster).await?;
    // What is kept, and what is not, when it is uninstalled.
    let keep = if role == "role=source" {
        "crds.keep=true"
    } else {
        "crds.keep=false"
    };
    helm.on(cluster, &with(&[&upgrade[..], &set, &["--set", keep]].concat()))
        .await?;
    as_rendered(helm, cluster).await?;
    ensure!(
        !cluster
            .kubectl(&["get", "networkpolicies", "-A", "-o", "name"])
            .await?
            .contains("multicluster"),
        "an orphan"
    );
    Ok(())
}

/// Every object of the release is there, and no other one with our label.
async fn as_rendered(helm: &Helm, cluster: &Cluster) -> Result<()> {
    let manifest = helm.on(cluster, &["get", "manifest", RELEASE]).await?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&manifest)?;
    let wanted: BTreeMap<String, ()> = objects.iter().map(|object| (name_of(object), ())).collect();
    let kinds = "serviceaccounts,configmaps,services,deployments,poddisruptionbudgets,resourcequotas,networkpolicies,\
        roles,rolebindings,clusterroles,clusterrolebindings,customresourcedefinitions,mutatingwebhookconfigurations,\
        validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings";
    let ours = format!("{}={}", names::PART_OF, names::PART_OF_VALUE);
    let found = cluster
        .kubectl(&["get", kinds, "-A", "-l", &ours, "-o", "json"])
        .await?;
    let found: Value = serde_json::from_str(&found)?;
    let found: BTreeMap<String, ()> = found["items"]
        .as_array()
        .context("no list")?
        .iter()
        .map(|object| (name_of(object), ()))
        .collect();
    let orphans: Vec<_> = found.keys().filter(|name| !wanted.contains_key(*name)).collect();
    ensure!(orphans.is_empty(), "nobody renders {orphans:?}");
    // Issuers and Certificates are cert-manager's: see `wait_for_ca`.
    let missing: Vec<_> = wanted
        .keys()
        .filter(|name| !found.contains_key(*name) && !name.starts_with("Issuer ") && !name.starts_with("Certificate "))
        .collect();
    ensure!(missing.is_empty(), "there is no {missing:?}");
    Ok(())
}

/// What only the cluster can tell.
async fn refused_in_the_cluster(helm: &Helm, source: &Cluster) -> Result<()> {
    let chart = helm.chart();
    // cert-manager has made its Secrets.
    wait_for_ca(source).await?;
    for (values, words) in [
        (&["role=target"][..], "role: this cluster is a source now"),
        (
            &["role=source", "kubeconfigs.enabled=false"],
            "kubeconfigs.enabled: was true",
        ),
        (
            &["role=source", "certificates.mode=selfManaged"],
            "certificates.mode: selfManaged, but the Secret multicluster-ca is somebody else's",
        ),
        (
            &["role=source", "monitoring.podMonitor.enabled=true"],
            "monitoring.podMonitor.enabled: there is no Prometheus operator here",
        ),
    ] {
        let mut args = vec!["upgrade", RELEASE, &chart];
        args.extend(values.iter().flat_map(|value| ["--set", value]));
        let Err(answer) = helm.on(source, &with(&args)).await else {
            anyhow::bail!("{values:?} is not refused");
        };
        ensure!(format!("{answer:#}").contains(words), "{values:?}: {answer:#}");
    }
    Ok(())
}

/// The components run with what Helm has installed, and a pod goes to the target.
async fn used(testbed: &Testbed, source: Cluster, target: Cluster) -> Result<World> {
    let programs = Programs::build(&[]).await?;
    let port = free_port()?;
    call_webhooks_on(&source, port).await?;
    let source = Seat::sit_down(source, Role::Source, &programs, 1, Some(port)).await?;
    let target = Seat::sit_down(target, Role::Target, &programs, 1, None).await?;
    let product = Product {
        source,
        targets: BTreeMap::from([("us".to_owned(), target)]),
        testbed: testbed.clone(),
    };
    product.connect("us", Scope::Cluster).await?;
    let world = World {
        product,
        links: BTreeMap::new(),
    };
    let ns = namespace(&world, "used").await?;
    world.apply(&Template::elected().deployment(ns, "web", 3)).await?;
    world.running(ns, 3).await?;
    world.check_delegates(ns).await?;
    Ok(world)
}

/// No agent runs who could clean up at its end: the Job before the deletion does, with the rights that it has then.
async fn source_uninstalled_without_its_agent(helm: &Helm, world: &World) -> Result<()> {
    let source = &world.product.source;
    source.agent.kill().await?;
    let cluster = &source.cluster;
    let uninstall = helm.on(cluster, &["uninstall", RELEASE, "--timeout", "3m"]);
    let job = async {
        let accounts = Api::<ServiceAccount>::namespaced(cluster.client(), NAMESPACE);
        eventually("the ServiceAccount of the Job", SOON, async || {
            accounts.get_opt("multicluster-uninstall").await.map_err(Into::into)
        })
        .await?;
        let args = job_args(cluster).await?;
        ensure!(args.contains(&"--keep-targets".to_owned()), "{args:?}");
        let args: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
        let told = source.uninstaller_as("multicluster-uninstall", &args).await?;
        ensure!(told.contains("nothing is left"), "{told}");
        // Now there is a node for the Job's pod, which ends there at once.
        let nodes = ["label", "nodes", "--all", "runs=elsewhere"];
        cluster.kubectl(&nodes).await.map(drop)
    };
    let (uninstalled, job) = tokio::join!(uninstall, job);
    job?;
    let said = uninstalled?;
    ensure!(said.contains("CustomResourceDefinition"), "what was kept: {said}");
    // People's own objects are there with their definitions.
    let targets = cluster.kubectl(&["get", "clustertargets", "-o", "name"]).await?;
    ensure!(targets.contains("/us"), "{targets}");
    let front = source.front()?;
    for process in [&front.webhook, &front.extender] {
        process.stop().await?;
    }
    front.scheduler.stop().await?;
    ensure!(
        world.chaperons("us", "used").await?.is_empty(),
        "chaperons are left in the target"
    );
    let ours = format!("{}={}", names::PART_OF, names::PART_OF_VALUE);
    let crds = ["delete", "customresourcedefinitions", "-l", &ours, "--timeout=60s"];
    cluster.kubectl(&crds).await?;
    cluster
        .kubectl(&["delete", "namespace", NAMESPACE, "--timeout=60s"])
        .await
        .map(drop)
}

async fn job_args(cluster: &Cluster) -> Result<Vec<String>> {
    let path = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/multicluster-uninstall");
    let job = eventually("the Job", SOON, async || Ok(cluster.get(&path).await.ok())).await?;
    let job: Value = serde_json::from_str(&job)?;
    let args = job["spec"]["template"]["spec"]["containers"][0]["args"]
        .as_array()
        .cloned();
    let args = args.context("no arguments")?;
    Ok(args.iter().filter_map(|arg| arg.as_str().map(str::to_owned)).collect())
}

/// Without the Job, by the agent at its end, as with `kubectl delete -k`.
async fn target_uninstalled_by_its_agent(helm: &Helm, target: &Seat) -> Result<()> {
    let uninstall = helm.on(&target.cluster, &["uninstall", RELEASE, "--no-hooks"]);
    let (uninstalled, ended) = tokio::join!(uninstall, target.end_with_deployments());
    uninstalled?;
    ended?;
    let delete = ["delete", "namespace", NAMESPACE, "--timeout=60s"];
    target.cluster.kubectl(&delete).await.map(drop)
}

async fn nothing_is_left(seat: &Seat, definitions: bool) -> Result<()> {
    let told = seat
        .uninstaller(&["--check"])
        .await
        .with_context(|| format!("definitions: {definitions}"))?;
    ensure!(told.contains("nothing is left"), "{told}");
    let kinds = "nodes,leases,pods,serviceaccounts,clusterroles,clusterrolebindings,roles,rolebindings,jobs";
    let objects = seat.cluster.kubectl(&["get", kinds, "-A", "-o", "yaml"]).await?;
    for trace in [
        names::FINALIZER,
        names::UNINSTALL,
        "name: multicluster-",
        "name: admiralty-",
    ] {
        ensure!(!objects.contains(trace), "{trace} is left in {}", seat.cluster.name());
    }
    Ok(())
}
