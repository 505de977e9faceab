//! Pods a second: inside one cluster, and over several.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use tokio::time::sleep;

use super::binds::Mark;
use super::percentiles::{Durations, median_index};
use super::proc::rss_mib;
use super::processes::{Asleep, CpuTimes};
use super::summary::{Goal, Summary};
use super::workload::Workload;
use super::writes::Requests;
use crate::product::{Product, Role};
use crate::{Cluster, ClusterOptions, NodePool, Testbed, eventually};

/// After a run: what the components still write about it.
const SETTLE: Duration = Duration::from_secs(3);
/// After processes were asleep: until heartbeats are fresh again.
const AWAKE: Duration = Duration::from_secs(4);
/// The namespace of what is measured.
const NAMESPACE: &str = "bench";

/// Clusters and pods.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Target clusters.
    pub targets: usize,
    /// Nodes in each of them.
    pub nodes: usize,
    /// Pods of the Deployment.
    pub pods: usize,
}

/// What one run over several clusters showed.
struct Run {
    elapsed: Duration,
    binds: Durations,
    failed_binds: usize,
    writes: Requests,
    writes_deleting: Requests,
    cpu: CpuTimes,
}

/// The product with all its targets connected.
pub struct Bench {
    product: Product,
    nodes: Vec<String>,
    shape: Shape,
}

impl Bench {
    /// Starts the clusters.
    pub async fn start(testbed: &Testbed, shape: Shape) -> Result<Self> {
        let targets = (0..shape.targets)
            .map(|number| ClusterOptions::new(&format!("target{number}"), [NodePool::new("node", shape.nodes)]))
            .collect();
        let source = ClusterOptions::new("source", []);
        let product = Product::start(testbed, source, Role::Source, targets).await?;
        let connected = product
            .targets
            .keys()
            .map(|target| product.connect(target, crate::product::Scope::Cluster));
        let nodes = try_join_all(connected).await?;
        product.namespace(NAMESPACE).await?;
        let bench = Self { product, nodes, shape };
        bench.settle().await?;
        Ok(bench)
    }

    /// Wait until all targets take pods.
    async fn settle(&self) -> Result<()> {
        sleep(AWAKE).await;
        try_join_all(self.nodes.iter().map(|node| self.product.wait_node_ready(node))).await?;
        Ok(())
    }

    fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        self.product.seats().map(|seat| &seat.cluster)
    }

    async fn run(&self, name: &str, memory: Option<&mut Summary>) -> Result<Run> {
        let extender = &self.product.source.front()?.extender;
        let workload = Workload {
            cluster: &self.product.source.cluster,
            namespace: NAMESPACE,
            name,
            pods: self.shape.pods,
            elect: true,
        };
        let before = Requests::now(self.clusters()).await?;
        let mark = Mark::now(extender)?;
        let cpu = CpuTimes::now(&self.product)?;
        let elapsed = workload.run().await?;
        let cpu = CpuTimes::now(&self.product)?.since(&cpu);
        sleep(SETTLE).await;
        let running = Requests::now(self.clusters()).await?;
        let (binds, failed_binds) = mark.binds(extender)?;
        if let Some(summary) = memory {
            self.memory(summary)?;
        }
        workload.delete().await?;
        self.wait_for_delegates_to_go().await?;
        sleep(SETTLE).await;
        let deleted = Requests::now(self.clusters()).await?;
        Ok(Run {
            elapsed,
            binds,
            failed_binds,
            writes: running.since(&before),
            writes_deleting: deleted.since(&running),
            cpu,
        })
    }

    async fn wait_for_delegates_to_go(&self) -> Result<()> {
        let path = "/apis/multicluster.admiralty.io/v1alpha1/podchaperons?limit=1";
        for seat in self.product.targets.values() {
            eventually("the chaperons to be gone", Duration::from_secs(120), async || {
                let list: serde_json::Value = serde_json::from_str(&seat.cluster.get(path).await?)?;
                Ok(list["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    fn memory(&self, summary: &mut Summary) -> Result<()> {
        let front = self.product.source.front()?;
        let agents = self.product.seats().map(|seat| rss_mib(seat.agent.pid()));
        let agents: Vec<f64> = agents.collect::<Result<_>>()?;
        let most = agents.into_iter().fold(0.0, f64::max);
        summary.goal("rss_mib_webhook", rss_mib(front.webhook.pid())?, Goal::AtMost(15.0));
        summary.goal("rss_mib_extender", rss_mib(front.extender.pid())?, Goal::AtMost(60.0));
        summary.goal("rss_mib_agent", most, Goal::AtMost(60.0));
        Ok(())
    }
}

/// One cluster by itself, with the stock scheduler and ordinary pods: what the machine can do.
pub struct Single(Cluster);

impl Single {
    /// Starts the cluster.
    pub async fn start(testbed: &Testbed) -> Result<Self> {
        let mut options = ClusterOptions::new("single", [NodePool::new("node", 10)]);
        // It sleeps while others are measured: its nodes are not to be taken for dead when it wakes.
        options.controller_manager_args = vec!["--node-monitor-grace-period=1h".to_owned()];
        let cluster = Cluster::start(testbed, options).await?;
        cluster
            .apply_yaml(&format!(
                "{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}"
            ))
            .await?;
        Ok(Self(cluster))
    }

    async fn run(&self, name: &str, pods: usize) -> Result<(Duration, CpuTimes)> {
        let workload = Workload {
            cluster: &self.0,
            namespace: NAMESPACE,
            name,
            pods,
            elect: false,
        };
        sleep(AWAKE).await;
        let cpu = CpuTimes::now(&self.0)?;
        let elapsed = workload.run().await?;
        let cpu = CpuTimes::now(&self.0)?.since(&cpu);
        workload.delete().await?;
        Ok((elapsed, cpu))
    }
}

/// Measures `repeat` times each, in turn; the others' processes are stopped meanwhile.
pub async fn compare(testbed: &Testbed, shape: Shape, repeat: usize, dir: &Path, summary: &mut Summary) -> Result<()> {
    let single = Single::start(testbed).await?;
    let bench = {
        let _asleep = Asleep::new(&single.0)?;
        Bench::start(testbed, shape).await?
    };
    let (mut singles, mut runs) = (Vec::new(), Vec::new());
    let mut memory = Summary::default();
    for number in 0..repeat {
        {
            let _asleep = Asleep::new(&bench.product)?;
            let (elapsed, cpu) = single.run(&format!("single{number}"), shape.pods).await?;
            println!("single {number}: {}", told(shape.pods, elapsed, &cpu));
            singles.push((elapsed, cpu));
        }
        bench.settle().await?;
        let _asleep = Asleep::new(&single.0)?;
        let last = number + 1 == repeat;
        let run = bench
            .run(&format!("multi{number}"), last.then_some(&mut memory))
            .await?;
        println!("multi {number}: {}", told(shape.pods, run.elapsed, &run.cpu));
        runs.push(run);
    }
    let rate = |elapsed: Duration| shape.pods as f64 / elapsed.as_secs_f64();
    let rates: Vec<f64> = singles.iter().map(|(elapsed, _)| rate(*elapsed)).collect();
    let single = rates[median_index(&rates)];
    let (single_elapsed, single_cpu) = &singles[median_index(&rates)];
    let rates: Vec<f64> = runs.iter().map(|run| rate(run.elapsed)).collect();
    let run = &runs[median_index(&rates)];
    let multi = rate(run.elapsed);
    summary.note("pods_per_s_single", single);
    summary.note("pods_per_s_multi", multi);
    summary.goal("throughput_ratio", multi / single, Goal::AtLeast(0.5));
    summary.note("bind_p50_s", run.binds.percentile(50.0).as_secs_f64());
    summary.note("bind_p99_s", run.binds.percentile(99.0).as_secs_f64());
    summary.note("binds_failed", run.failed_binds as f64);
    tell_writes(run, shape, dir, summary)?;
    summary.append(memory);
    let mut text = String::new();
    writeln!(
        text,
        "{} elect pods over {} targets in {:.2?}:",
        shape.pods, shape.targets, run.elapsed
    )?;
    writeln!(text, "{}", run.cpu.table(run.elapsed))?;
    writeln!(
        text,
        "{} ordinary pods inside one cluster in {single_elapsed:.2?}:",
        shape.pods
    )?;
    write!(text, "{}", single_cpu.table(*single_elapsed))?;
    let path = dir.join("cpu.txt");
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Measures how many requests a pod costs, once.
pub async fn count_writes(testbed: &Testbed, shape: Shape, dir: &Path, summary: &mut Summary) -> Result<()> {
    let bench = Bench::start(testbed, shape).await?;
    let run = bench.run("writes", None).await?;
    println!("{} targets: {}", shape.targets, told(shape.pods, run.elapsed, &run.cpu));
    tell_writes(&run, shape, dir, summary)
}

fn told(pods: usize, elapsed: Duration, cpu: &CpuTimes) -> String {
    let rate = pods as f64 / elapsed.as_secs_f64();
    format!(
        "{rate:.1} pods/s, {pods} in {elapsed:.2?}; others on the machine used {:.1} CPU s",
        cpu.others().as_secs_f64()
    )
}

fn tell_writes(run: &Run, shape: Shape, dir: &Path, summary: &mut Summary) -> Result<()> {
    let per_pod = |writes: &Requests| writes.writes() / shape.pods as f64;
    let targets = shape.targets;
    summary.goal(
        &format!("writes_per_pod_{targets}_targets"),
        per_pod(&run.writes),
        Goal::AtMost(10.0),
    );
    let suffix = if targets == 2 {
        String::new()
    } else {
        format!("_{targets}_targets")
    };
    summary.note(&format!("writes_per_pod_delete{suffix}"), per_pod(&run.writes_deleting));
    let text = format!(
        "{} pods over {targets} targets, created until Running:\n{}\nand deleted:\n{}",
        shape.pods,
        run.writes.table(shape.pods),
        run.writes_deleting.table(shape.pods)
    );
    let path = dir.join(if targets == 2 {
        "writes.txt".to_owned()
    } else {
        format!("writes-{targets}-targets.txt")
    });
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}
