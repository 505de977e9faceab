//! Reviews of pods by the webhook: how long one takes, and how much CPU.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use hyper::body::Bytes;
use multicluster_api::names;
use serde_json::{Value, json};

use super::percentiles::Durations;
use super::proc::cpu_time;
use super::server::Server;
use super::summary::{Goal, Summary};
use crate::Testbed;
use crate::https::Connection;
use crate::product::Programs;

const PATH: &str = "/mutate-v1-pod";
const CONNECTIONS: usize = 4;
/// Reviews before counting begins.
const WARM_UP: usize = 2_000;
/// Different reviews, sent in turn.
const VARIETY: usize = 64;
/// The size of a review.
const SIZE: usize = 2_400;

/// Measures `reviews` reviews.
pub async fn measure(testbed: &Testbed, programs: &Programs, reviews: usize, summary: &mut Summary) -> Result<()> {
    let args = ["--shutdown-delay-seconds=0".to_owned()];
    let server = Server::start(testbed, &programs.find("multicluster-webhook"), &args).await?;
    let bodies: Vec<Bytes> = (0..VARIETY).map(|number| review(number).into()).collect();
    let mut connections = try_join_all((0..CONNECTIONS).map(|_| server.connect())).await?;
    check(&connections[0].post(PATH, bodies[0].clone()).await?.0)?;

    run(&mut connections, &bodies, WARM_UP).await?;
    let (start, cpu) = (Instant::now(), cpu_time(server.process.pid())?);
    let durations = run(&mut connections, &bodies, reviews).await?;
    let (elapsed, cpu) = (start.elapsed(), cpu_time(server.process.pid())? - cpu);

    let each = durations.len() as f64;
    summary.note("webhook_p50_ms", durations.millis(50.0));
    summary.goal("webhook_p99_ms", durations.millis(99.0), Goal::Below(2.0));
    summary.goal(
        "webhook_cpu_ms_per_review",
        cpu.as_secs_f64() * 1e3 / each,
        Goal::AtMost(0.09),
    );
    summary.note("webhook_reviews_per_s", each / elapsed.as_secs_f64());
    Ok(())
}

/// All connections at a time, each with one review after another.
async fn run(connections: &mut [Connection], bodies: &[Bytes], reviews: usize) -> Result<Durations> {
    let each = reviews.div_ceil(connections.len());
    let series = connections.iter_mut().enumerate().map(async |(offset, connection)| {
        let mut durations: Vec<Duration> = Vec::with_capacity(each);
        for number in 0..each {
            let body = bodies[(offset + number) % bodies.len()].clone();
            let (answer, elapsed) = connection.post(PATH, body).await?;
            ensure!(is_patched(&answer), "an answer without a patch");
            durations.push(elapsed);
        }
        anyhow::Ok(durations)
    });
    Ok(try_join_all(series).await?.into_iter().flatten().collect())
}

/// The pod was admitted, as a proxy pod.
fn check(answer: &[u8]) -> Result<()> {
    let review: Value = serde_json::from_slice(answer).context("the review")?;
    let response = &review["response"];
    ensure!(
        response["allowed"] == true && response["patch"].is_string(),
        "the webhook answered {review}"
    );
    Ok(())
}

/// [`check`], in less time.
fn is_patched(answer: &[u8]) -> bool {
    let text = std::str::from_utf8(answer).unwrap_or_default();
    text.contains(r#""allowed":true"#) && text.contains(r#""patch":""#)
}

/// The creation of a pod of a Deployment, as the API server sends it.
fn review(number: usize) -> Vec<u8> {
    let mut review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": format!("705ab4f5-6393-11e8-b7cc-{number:012}"),
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "requestKind": { "group": "", "version": "v1", "kind": "Pod" },
            "requestResource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "f3e4a35c-2a2d-4a0e-9e36-6a2f1f4b3c11",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
            },
            "object": pod(number),
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
        },
    });
    let missing = SIZE.saturating_sub(review.to_string().len());
    review["request"]["object"]["spec"]["containers"][0]["env"][0]["value"] = "x".repeat(missing).into();
    review.to_string().into_bytes()
}

fn pod(number: usize) -> Value {
    let not_ready =
        |taint: &str| json!({ "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": format!("web-7d4b9c{number:04}-"),
            "namespace": "shop",
            "creationTimestamp": null,
            "labels": { "app": "web", "pod-template-hash": format!("7d4b9c{number:04}") },
            "annotations": { names::ELECT: "" },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("web-7d4b9c{number:04}"),
                "uid": "1b9ec9a4-9d3c-4c8a-8f4b-0d2f3f1a9f10", "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "volumes": [{ "name": "kube-api-access", "emptyDir": {} }],
            "containers": [{
                "name": "web",
                "image": "registry.example/shop/web:1.4.2",
                "env": [{ "name": "FILLER", "value": "" }],
                "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
                "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
                "volumeMounts": [{ "name": "kube-api-access", "mountPath": "/var/run/data" }],
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "nodeSelector": { "topology.kubernetes.io/region": "eu" },
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [not_ready(names::NOT_READY), not_ready(names::UNREACHABLE)],
            "priority": 0,
            "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_has_the_size_that_the_goals_are_for() {
        for number in [0, VARIETY - 1] {
            assert_eq!(review(number).len(), SIZE);
        }
    }
}
