//! What the authenticating proxy costs: the same calls directly to the API server and by way of it, in turn.
//!
//! ```text
//! GETs of a small object, over connections that are kept ─▶ authproxy_get_p50_ratio
//! one event, on a direct watch and on a proxied one ──────▶ authproxy_watch_delay_p99_ms
//! 500 watches open by way of the proxy ───────────────────▶ authproxy_rss_mib_500_watches
//! bytes to a pod and back, by kubectl port-forward ───────▶ authproxy_stream_ratio
//! ```
//!
//! The caller is one user with the same rights, directly by a certificate that the API server believes, and by another that
//! the proxy believes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::forward::Forward;
use super::percentiles::{Durations, median_index};
use super::proc::rss_mib;
use super::summary::{Goal, Summary};
use crate::product::{Programs, Role, Seat, base64, credentials, object};
use crate::wire::{Door, Version, Wire};
use crate::{Authority, ClusterOptions, NodePool, Streams, Testbed, eventually};

const NAMESPACE: &str = "bench";
const PREFIX: &str = "spiffe://bench/";
const IDENTITY: &str = "ns/bench/id/default";
/// GETs each way.
const GETS: usize = 4000;
/// Events that both watches see.
const EVENTS: usize = 1000;
/// Watches that are open at a time.
const WATCHES: usize = 500;
const PATIENCE: Duration = Duration::from_secs(120);

/// Measure all four.
pub async fn measure(testbed: &Testbed, repeat: usize, summary: &mut Summary) -> Result<()> {
    let bench = Bench::start(testbed).await?;
    bench.gets(summary).await.context("GETs")?;
    bench.events(summary).await.context("events")?;
    bench.streams(repeat, summary).await.context("streams")?;
    bench.watches(summary).await.context("watches")
}

struct Bench {
    seat: Seat,
    direct: Door,
    proxied: Door,
    kubeconfigs: [PathBuf; 2],
    kubectl: PathBuf,
    _streams: Streams,
}

impl Bench {
    async fn start(testbed: &Testbed) -> Result<Self> {
        let streams = Streams::start(testbed.dir()).await?;
        let mut options = ClusterOptions::new("target", [NodePool::new("node", 1)]);
        options.cert_manager = true;
        options.kwok_config = streams.kwok_config();
        let programs = Programs::build(&[]).await?;
        let mut seat = Seat::start(testbed, options, Role::Target, &programs, 1).await?;
        seat.start_authproxy(1, None).await?;

        let (cluster, proxy) = (&seat.cluster, seat.authproxy()?);
        let (authority, user) = (Authority::new("bench")?, format!("{PREFIX}{IDENTITY}"));
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects(&authority, &user) });
        cluster.apply_yaml(&list.to_string()).await?;
        let direct = cluster.authority().client(&user, None)?;
        let proxied = authority.client(IDENTITY, None)?;
        let kubeconfigs = ["direct", "proxied"].map(|name| testbed.dir().join(format!("{name}.kubeconfig")));
        std::fs::write(&kubeconfigs[0], cluster.server().with_certificate("bench", &direct)?)?;
        std::fs::write(&kubeconfigs[1], proxy.kubeconfig(&credentials(&proxied), NAMESPACE)?)?;
        let bench = Self {
            direct: cluster.door(Some(&direct))?,
            proxied: proxy.door(Some(&proxied))?,
            kubeconfigs,
            kubectl: testbed.binaries().find("kubectl")?,
            _streams: streams,
            seat,
        };
        for door in [&bench.direct, &bench.proxied] {
            eventually("the caller to be let in", PATIENCE, async || {
                let answer = door.get(&path("configmaps/small")).await?;
                ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
                Ok(Some(()))
            })
            .await?;
        }
        let wait = [
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "--namespace",
            NAMESPACE,
            "pod/web",
        ];
        bench.seat.cluster.kubectl(&wait).await?;
        Ok(bench)
    }

    async fn gets(&self, summary: &mut Summary) -> Result<()> {
        for (version, name) in [
            (Version::Http1, "authproxy_get"),
            (Version::Http2, "authproxy_get_http2"),
        ] {
            let mut wires = [self.direct.open(version).await?, self.proxied.open(version).await?];
            let mut times = [Vec::new(), Vec::new()];
            for number in 0..GETS + GETS / 10 {
                for (wire, times) in wires.iter_mut().zip(&mut times) {
                    let begin = Instant::now();
                    let answer = wire.get(&path("configmaps/small"), &[]).await?;
                    ensure!(answer.status == 200, "{}", answer.status);
                    // The first ones warm up.
                    if number >= GETS / 10 {
                        times.push(begin.elapsed());
                    }
                }
            }
            let [direct, proxied] = times.map(Durations::from_iter);
            let ratio = proxied.millis(50.0) / direct.millis(50.0);
            match version {
                Version::Http1 => summary.goal(&format!("{name}_p50_ratio"), ratio, Goal::AtMost(1.5)),
                Version::Http2 => summary.note(&format!("{name}_p50_ratio"), ratio),
            }
            summary.note(&format!("{name}_direct_p50_ms"), direct.millis(50.0));
            summary.note(&format!("{name}_p50_ms"), proxied.millis(50.0));
            summary.note(&format!("{name}_p99_ms"), proxied.millis(99.0));
        }
        Ok(())
    }

    async fn events(&self, summary: &mut Summary) -> Result<()> {
        let [direct, proxied] = [
            watch(&mut self.direct.open(Version::Http1).await?, true).await?,
            watch(&mut self.proxied.open(Version::Http1).await?, true).await?,
        ]
        .map(arrivals);
        let mut wire = self.direct.open(Version::Http1).await?;
        for number in 0..EVENTS {
            touch(&mut wire, number).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let late = async {
            let (direct, proxied) = (direct.await??, proxied.await??);
            let delay = |(version, at): (&String, &Instant)| Some(proxied.get(version)?.saturating_duration_since(*at));
            anyhow::Ok(direct.iter().filter_map(delay).collect::<Durations>())
        };
        let late = tokio::time::timeout(PATIENCE, late)
            .await
            .context("events are missing")??;
        ensure!(late.len() == EVENTS, "{} events of {EVENTS} came both ways", late.len());
        summary.goal("authproxy_watch_delay_p99_ms", late.millis(99.0), Goal::AtMost(1.0));
        summary.note("authproxy_watch_delay_p50_ms", late.millis(50.0));
        Ok(())
    }

    async fn watches(&self, summary: &mut Summary) -> Result<()> {
        let pid = self.seat.authproxy()?.replicas.pid();
        summary.note("authproxy_rss_mib_idle", rss_mib(pid)?);
        // HTTP/1.1 wants a connection for each watch: what costs most.
        let mut open = Vec::new();
        for _ in 0..WATCHES {
            let mut wire = self.proxied.open(Version::Http1).await?;
            let body = watch(&mut wire, false).await?;
            open.push((wire, tokio::spawn(drain(body))));
        }
        let mut wire = self.direct.open(Version::Http1).await?;
        for number in 0..20 {
            touch(&mut wire, EVENTS + number).await?;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        ensure!(open.iter().all(|(_, task)| !task.is_finished()), "a watch has ended");
        summary.goal("authproxy_rss_mib_500_watches", rss_mib(pid)?, Goal::AtMost(60.0));
        open.iter().for_each(|(_, task)| task.abort());
        drop(open);
        Ok(())
    }

    async fn streams(&self, repeat: usize, summary: &mut Summary) -> Result<()> {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..repeat {
            for (kubeconfig, rates) in self.kubeconfigs.iter().zip(&mut rates) {
                let forward = Forward::to_pod(&self.kubectl, kubeconfig, NAMESPACE, "web").await?;
                rates.push(forward.throughput().await?);
            }
        }
        let [direct, proxied] = rates.map(|rates| rates[median_index(&rates)]);
        summary.goal("authproxy_stream_ratio", proxied / direct, Goal::AtLeast(0.7));
        summary.note("authproxy_stream_direct_mib_s", direct);
        summary.note("authproxy_stream_mib_s", proxied);
        Ok(())
    }
}

fn path(rest: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/{rest}")
}

/// What the caller needs, and what it looks at.
fn objects(authority: &Authority, user: &str) -> Vec<Value> {
    // No Source: what its user may not write is no matter of the proxy's.
    let trust = json!({
        "prefix": PREFIX,
        "certificateAuthorityData": base64(&authority.pair().certificate),
        "identities": [IDENTITY],
    });
    let group = "rbac.authorization.k8s.io";
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        object("TrustedIdentityProvider", NAMESPACE, "bench", trust),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
            "metadata": { "name": "bench", "namespace": NAMESPACE },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "admin" },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "small", "namespace": NAMESPACE },
            "data": { "key": "value" },
        }),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": NAMESPACE },
            "spec": { "containers": [{ "name": "main", "image": "none" }] },
        }),
    ]
}

/// Change the object that is watched.
async fn touch(wire: &mut Wire, number: usize) -> Result<()> {
    let patch = json!({ "data": { "key": number.to_string() } }).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    let answer = wire
        .send("PATCH", &path("configmaps/small"), &merge, Bytes::from(patch))
        .await?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(())
}

/// Begin to watch from now on, or from all that there is.
async fn watch(wire: &mut Wire, from_now: bool) -> Result<Incoming> {
    let mut query = "watch=true&fieldSelector=metadata.name%3Dsmall".to_owned();
    if from_now {
        let list: Value = serde_json::from_slice(&wire.get(&path("configmaps"), &[]).await?.body)?;
        let version = list["metadata"]["resourceVersion"].as_str().context("a version")?;
        query += &format!("&resourceVersion={version}");
    }
    let answer = wire
        .begin("GET", &path(&format!("configmaps?{query}")), &[], Bytes::new())
        .await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    Ok(answer.into_body())
}

/// When each version of the object came.
fn arrivals(mut body: Incoming) -> JoinHandle<Result<HashMap<String, Instant>>> {
    tokio::spawn(async move {
        let (mut seen, mut buffer) = (HashMap::new(), Vec::new());
        while seen.len() < EVENTS {
            let frame = body.frame().await.context("the watch ended")??;
            let now = Instant::now();
            buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line)?;
                let version = &event["object"]["metadata"]["resourceVersion"];
                seen.insert(version.as_str().unwrap_or_default().to_owned(), now);
            }
        }
        Ok(seen)
    })
}

async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}
