//! Filter requests as a kube-scheduler with 1,000 virtual nodes sends them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::body::Bytes;
use multicluster_api::{TargetRef, names};
use serde_json::{Value, json};

use super::percentiles::Durations;
use super::server::{Server, keep_program};
use super::summary::{Goal, Summary};
use crate::Testbed;
use crate::https::Connection;
use crate::product::Programs;

const TARGETS: usize = 1_000;
const NODES: usize = 100;
const WARM_UP: usize = 100;

/// A kind of pod, and how many of the targets can run it.
struct Kind {
    name: &'static str,
    pod: fn(usize) -> Value,
    expected: fn(usize) -> bool,
}

/// What the made-up nodes have: 16 CPUs, of which 4 or more are in use; a region each target, 20 in all.
const KINDS: [Kind; 4] = [
    Kind {
        name: "everywhere",
        pod: |number| pod(number, "100m", json!({})),
        expected: |passed| passed == TARGETS,
    },
    Kind {
        name: "selective",
        pod: |number| {
            let region = format!("region-{}", number % 20);
            let zone = format!("{region}-{}", number % 3);
            let selector = json!({ "topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone });
            pod(number, "100m", json!({ "nodeSelector": selector }))
        },
        expected: |passed| passed == TARGETS / 20,
    },
    // No node has so much CPU free, although each has so much at all: all nodes must be looked at.
    Kind {
        name: "too_large",
        pod: |number| pod(number, "13", json!({})),
        expected: |passed| passed == 0,
    },
    Kind {
        name: "nowhere",
        pod: |number| {
            let expressions = json!([
                { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": [format!("x{number}.metal")] },
                { "key": "kubernetes.io/os", "operator": "NotIn", "values": ["windows"] },
            ]);
            let terms = json!({ "nodeSelectorTerms": [{ "matchExpressions": expressions }] });
            let affinity = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": terms } });
            pod(number, "100m", json!({ "affinity": affinity }))
        },
        expected: |passed| passed == 0,
    },
];

/// Builds the extender with made-up targets, and measures `requests` requests.
pub async fn measure(testbed: &Testbed, requests: usize, summary: &mut Summary) -> Result<()> {
    // Other parts of the run use the extender as it is shipped: only this one gets the build with the feature.
    let programs = Programs::build(&["synthetic"]).await?;
    let program = keep_program(testbed, &programs.find("multicluster-extender"))?;
    let args = [
        format!("--synthetic-targets={TARGETS}"),
        format!("--synthetic-nodes={NODES}"),
    ];
    let server = Server::start(testbed, &program, &args).await?;
    let mut connection = server.connect().await?;
    let names: Vec<String> = (0..TARGETS)
        .map(|number| TargetRef::cluster(format!("synthetic{number}")).virtual_node().into())
        .collect();
    let mut load = Load {
        names,
        connection: &mut connection,
    };
    for kind in &KINDS {
        load.check(kind).await?;
    }
    load.run(WARM_UP).await?;
    report(&load.run(requests).await?, summary);
    summary.note("filter_rss_mib", super::proc::rss_mib(server.process.pid())?);
    Ok(())
}

/// The durations of each kind.
type Series = [Vec<Duration>; KINDS.len()];

struct Load<'a> {
    names: Vec<String>,
    connection: &'a mut Connection,
}

impl Load<'_> {
    /// One request after another, the kinds in turn.
    async fn run(&mut self, requests: usize) -> Result<Series> {
        let mut series = Series::default();
        for number in 0..requests {
            let kind = number % KINDS.len();
            let (_, elapsed) = self.connection.post("/filter", self.body(&KINDS[kind], number)).await?;
            series[kind].push(elapsed);
        }
        Ok(series)
    }

    fn body(&self, kind: &Kind, number: usize) -> Bytes {
        let args = json!({ "Pod": (kind.pod)(number), "Nodes": null, "NodeNames": self.names });
        args.to_string().into()
    }

    async fn check(&mut self, kind: &Kind) -> Result<()> {
        let (answer, _) = self.connection.post("/filter", self.body(kind, 0)).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let passed = answer["NodeNames"].as_array().context("no NodeNames")?.len();
        let excerpt: String = answer.to_string().chars().take(500).collect();
        ensure!(
            (kind.expected)(passed),
            "{}: {passed} targets passed: {excerpt}",
            kind.name
        );
        Ok(())
    }
}

fn report(series: &Series, summary: &mut Summary) {
    let all: Durations = series.iter().flatten().copied().collect();
    summary.note("filter_p50_ms", all.millis(50.0));
    summary.goal("filter_p99_ms", all.millis(99.0), Goal::Below(5.0));
    for (kind, durations) in KINDS.iter().zip(series) {
        let durations: Durations = durations.iter().copied().collect();
        summary.note(&format!("filter_{}_p99_ms", kind.name), durations.millis(99.0));
    }
}

/// A proxy pod: `constraints` are those of the pod as it was submitted.
fn pod(number: usize, cpu: &str, constraints: Value) -> Value {
    let manifest = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": constraints });
    json!({
        "metadata": {
            "name": format!("web-{number}"),
            "namespace": "shop",
            "uid": format!("705ab4f5-6393-11e8-b7cc-{number:012}"),
            "labels": { "app": "web", names::HAS_FINALIZER: "true" },
            "annotations": { names::ELECT: "", names::SOURCE_POD_MANIFEST: manifest.to_string() },
            "finalizers": [names::FINALIZER],
        },
        "spec": {
            "containers": [{
                "name": "web",
                "image": "registry.example/shop/web:1.4.2",
                "resources": { "requests": { "cpu": cpu, "memory": "128Mi" } },
            }],
            "schedulerName": names::PROXY_SCHEDULER,
        },
        "status": { "phase": "Pending" },
    })
}
