//! All of the Kubernetes API passes the proxy as it is.

use std::time::Duration;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use testbed::eventually;
use testbed::wire::{Answer, Door, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bad_input::chaperon;
use super::caller::Caller;
use super::harness::{alone, test};
use super::kubectl::{Protocol, Running};
use super::world::{SOON, Test, World};

pub fn tests() -> Vec<Test> {
    vec![
        test("kubectl_works_through_the_proxy", async |world: Arc<World>| {
            let caller = world.guest("eu", "passing-kubectl").await?;
            caller.pod(&world, "web").await?;
            for protocol in [Protocol::WebSocket, Protocol::Spdy] {
                streams(&world, &caller, protocol)
                    .await
                    .with_context(|| format!("{protocol:?}"))?;
            }
            objects(&caller).await
        }),
        test("answers_are_the_api_servers", answers),
        test("bodies_of_any_length_and_form_arrive", bodies),
        test("a_watch_that_is_too_old_is_told_so", too_old),
        alone("a_watch_goes_on_when_the_api_server_restarts", restart),
    ]
}

/// logs -f, exec, attach, port-forward.
async fn streams(world: &World, caller: &Caller, protocol: Protocol) -> Result<()> {
    let kubectl = &caller.kubectl;
    let mut logs = kubectl.start(&["logs", "--follow", "web"], protocol)?;
    let mut attached = kubectl.start(&["attach", "web"], protocol)?;
    let word = format!("said-{protocol:?}");
    eventually("logs to show", SOON, async || {
        world.streams.say(&word)?;
        let line = tokio::time::timeout(Duration::from_secs(1), logs.line_with(&word));
        line.await.ok().transpose()
    })
    .await?;
    eventually("what is attached to show", SOON, async || {
        world.streams.say(&word)?;
        let line = tokio::time::timeout(Duration::from_secs(1), attached.line_with(&word));
        line.await.ok().transpose()
    })
    .await?;
    let mut cat = kubectl.start(&["exec", "--stdin", "web", "--", "cat"], protocol)?;
    for line in ["one", "two"] {
        cat.enter(line).await?;
        ensure!(cat.line().await? == line);
    }
    // As cp does: a file on standard input, binary, larger than any window.
    let file: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let copied = kubectl
        .output(
            &["exec", "--stdin", "web", "--", "head", "-c", "3000000"],
            &file,
            protocol,
        )
        .await?;
    ensure!(
        copied.status.success() && copied.stdout == file,
        "a file is not what it was"
    );
    let failed = kubectl
        .output(
            &["exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7"],
            b"",
            protocol,
        )
        .await?;
    ensure!(
        !failed.status.success() && failed.stdout == b"out\n" && failed.stderr.starts_with(b"err\n"),
        "{failed:?}"
    );
    let (_forward, mut stream) = port_forward(caller, protocol).await?;
    for _ in 0..3 {
        echo(&mut stream, &file[..100_000]).await?;
    }
    Ok(())
}

/// Forward a local port to the pod `web`, and connect to it.
pub async fn port_forward(caller: &Caller, protocol: Protocol) -> Result<(Running, TcpStream)> {
    let mut forward = caller.kubectl.start(&["port-forward", "pod/web", ":80"], protocol)?;
    let line = forward.line_with("127.0.0.1:").await?;
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next());
    let port: u16 = port.context("a port")?.parse()?;
    Ok((forward, TcpStream::connect(("127.0.0.1", port)).await?))
}

/// Send something, and get it back.
pub async fn echo(stream: &mut TcpStream, data: &[u8]) -> Result<()> {
    let (mut read, mut write) = stream.split();
    let mut back = vec![0; data.len()];
    let exchange = async { tokio::try_join!(write.write_all(data), read.read_exact(&mut back)) };
    tokio::time::timeout(SOON, exchange).await.context("no echo")??;
    ensure!(back == data, "the echo is another");
    Ok(())
}

/// apply, the kinds of patches, watch, and what is refused by RBAC alone.
async fn objects(caller: &Caller) -> Result<()> {
    let kubectl = &caller.kubectl;
    let mut watch = kubectl.start(&["get", "configmaps", "--watch", "--output=name"], Protocol::WebSocket)?;
    let config =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "made" }, "data": { "a": "1" } });
    let config = config.to_string();
    for args in [
        vec!["apply", "-f", "-"],
        vec!["apply", "--server-side", "--force-conflicts", "-f", "-"],
    ] {
        kubectl.run_with(&args, config.as_bytes(), Protocol::WebSocket).await?;
    }
    for (kind, patch) in [
        ("strategic", r#"{"data":{"b":"2"}}"#),
        ("merge", r#"{"data":{"c":"3"}}"#),
        ("json", r#"[{"op":"add","path":"/data/d","value":"4"}]"#),
    ] {
        kubectl
            .run(&["patch", "configmap", "made", "--type", kind, "--patch", patch])
            .await?;
    }
    let data = kubectl
        .run(&["get", "configmap", "made", "--output=jsonpath={.data}"])
        .await?;
    ensure!(data == r#"{"a":"1","b":"2","c":"3","d":"4"}"#, "{data}");
    watch.line_with("configmap/made").await?;
    kubectl.run(&["delete", "configmap", "made"]).await?;
    let refused = kubectl.refused(&["get", "nodes"]).await?;
    ensure!(
        refused.contains("Forbidden") && refused.contains(&caller.user),
        "not refused by RBAC: {refused}"
    );
    Ok(())
}

/// The API server, called directly, as the same user.
fn directly(world: &World, caller: &Caller) -> Result<Door> {
    let cluster = world.target(caller.target);
    cluster.door(Some(&cluster.authority().client(&caller.user, None)?))
}

/// Method, path, headers and body.
type Request<'a> = (&'a str, String, Vec<(&'a str, &'a str)>, &'a str);

/// The same request, directly and by way of the proxy, has the same answer.
async fn answers(world: std::sync::Arc<World>) -> Result<()> {
    const PROTOBUF: (&str, &str) = ("accept", "application/vnd.kubernetes.protobuf");
    const GZIP: (&str, &str) = ("accept-encoding", "gzip");
    const TABLE: (&str, &str) = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let caller = world.caller("eu", "passing-answers").await?;
    let large = "x".repeat(300_000);
    for name in ["a", "b"] {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": caller.namespace },
            "data": { "text": large },
        });
        world.target("eu").apply_yaml(&object.to_string()).await?;
    }
    let in_namespace = |rest: &str| caller.path(rest);
    let table: Vec<Request<'_>> = vec![
        ("GET", in_namespace("configmaps/a"), vec![], ""),
        ("GET", in_namespace("configmaps/a"), vec![GZIP], ""),
        ("GET", in_namespace("configmaps"), vec![GZIP, PROTOBUF], ""),
        ("GET", in_namespace("configmaps"), vec![PROTOBUF], ""),
        ("GET", in_namespace("configmaps"), vec![TABLE], ""),
        ("GET", in_namespace("configmaps?limit=1"), vec![], ""),
        (
            "GET",
            in_namespace("configmaps?labelSelector=a%3Db%2Cc%21%3D%C3%A9"),
            vec![],
            "",
        ),
        ("GET", in_namespace("configmaps/none"), vec![], ""),
        ("GET", in_namespace("configmaps/a%2Fb"), vec![], ""),
        ("HEAD", in_namespace("configmaps/a"), vec![], ""),
        ("OPTIONS", in_namespace("configmaps/a"), vec![], ""),
        ("GET", "/api/v1/".to_owned(), vec![], ""),
        ("GET", "/openapi/v3".to_owned(), vec![GZIP], ""),
        ("GET", "/version".to_owned(), vec![], ""),
        (
            "POST",
            in_namespace("configmaps"),
            vec![("content-type", "application/json")],
            "{",
        ),
        (
            "POST",
            in_namespace("configmaps"),
            vec![("content-type", "text/odd")],
            "{}",
        ),
        (
            "POST",
            in_namespace("configmaps?dryRun=All"),
            vec![("content-type", "application/yaml")],
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}",
        ),
        (
            "PATCH",
            in_namespace("configmaps/a?dryRun=All"),
            vec![("content-type", "application/json-patch+json")],
            r#"[{"op":"test","path":"/data/text","value":"other"}]"#,
        ),
        ("DELETE", in_namespace("configmaps/none"), vec![], ""),
    ];
    let own = directly(&world, &caller)?;
    for version in [Version::Http1, Version::Http2] {
        // One connection each, as clients have it.
        let (mut direct, mut proxied) = (own.open(version).await?, caller.door.open(version).await?);
        for (method, path, headers, body) in &table {
            // Lists tell the cluster's version, which changes all the time.
            let what = format!("{version:?} {method} {path} {headers:?}");
            eventually(&format!("the same answer twice: {what}"), SOON, async || {
                let body = Bytes::copy_from_slice(body.as_bytes());
                let direct = direct.send(method, path, headers, body.clone()).await?;
                let proxied = proxied.send(method, path, headers, body).await?;
                same(&direct, &proxied).map(Some)
            })
            .await?;
        }
        let zipped = proxied.get(&table[1].1, &[GZIP]).await?;
        ensure!(
            zipped
                .headers
                .get("content-encoding")
                .is_some_and(|encoding| encoding == "gzip")
                && zipped.body.len() < 10_000,
            "{:?}",
            zipped.headers
        );
    }
    Ok(())
}

/// Headers that two equal answers need not share.
const OF_ITS_OWN: [&str; 5] = ["audit-id", "connection", "content-length", "date", "transfer-encoding"];

fn same(direct: &Answer, proxied: &Answer) -> Result<()> {
    ensure!(
        direct.status == proxied.status,
        "{} is {}: {}",
        direct.status,
        proxied.status,
        proxied.text()
    );
    let headers = |answer: &Answer| {
        let mut headers: Vec<(String, String)> = answer
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            // What each request has of its own, and what belongs to a connection: the proxy calls by HTTP/1.1 in any case.
            .filter(|(name, _)| !OF_ITS_OWN.contains(&name.as_str()))
            .collect();
        headers.sort();
        headers
    };
    let (direct_headers, proxied_headers) = (headers(direct), headers(proxied));
    ensure!(
        direct_headers == proxied_headers,
        "{direct_headers:?} is {proxied_headers:?}"
    );
    ensure!(direct.body == proxied.body, "{} is {}", direct.text(), proxied.text());
    Ok(())
}

/// Large bodies, and those whose length is not told.
async fn bodies(world: std::sync::Arc<World>) -> Result<()> {
    let caller = world.guest("eu", "passing-bodies").await?;
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "large" },
        "data": { "text": "y".repeat(900_000) },
    });
    let body = object.to_string();
    for (number, version) in [Version::Http1, Version::Http2].into_iter().enumerate() {
        let mut wire = caller.door.open(version).await?;
        let json = [("content-type", "application/json")];
        let path = caller.path(&format!("configmaps?fieldManager=bodies-{number}"));
        let body = Bytes::from(body.clone().into_bytes());
        let made = wire.send("POST", &path, &json, body).await?;
        ensure!(
            made.status == 201 && made.body.len() > 900_000,
            "{version:?}: {} {:.500}",
            made.status,
            made.text()
        );
        let gone = wire
            .send("DELETE", &caller.path("configmaps/large"), &[], Bytes::new())
            .await?;
        ensure!(gone.status == 200, "{version:?}: {}", gone.text());
    }
    // Chunk by chunk, the last after a while.
    let mut stream = caller.door.raw(Version::Http1).await?;
    let path = caller.path("configmaps");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: proxy\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    for chunk in body.as_bytes().chunks(400_000) {
        let size = format!("{:x}\r\n", chunk.len());
        for part in [size.as_bytes(), chunk, b"\r\n"] {
            stream.write_all(part).await?;
        }
        stream.flush().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(
        answer.starts_with("HTTP/1.1 201"),
        "{}",
        answer.get(..300).unwrap_or(&answer)
    );
    Ok(())
}

async fn too_old(world: std::sync::Arc<World>) -> Result<()> {
    let caller = world.caller("eu", "passing-old").await?;
    let path = chaperon(caller.namespace, "?watch=true&resourceVersion=1");
    for version in [Version::Http1, Version::Http2] {
        let direct = directly(&world, &caller)?.open(version).await?.get(&path, &[]).await?;
        let proxied = caller.door.open(version).await?.get(&path, &[]).await?;
        same(&direct, &proxied)?;
        ensure!(proxied.text().contains("410"), "{}", proxied.text());
    }
    Ok(())
}

async fn restart(world: std::sync::Arc<World>) -> Result<()> {
    let caller = world.caller("eu", "passing-restart").await?;
    let kubeconfig = std::fs::read_to_string(world.kubeconfig(
        "eu",
        caller.namespace,
        &testbed::product::credentials(&caller.pair),
    )?)?;
    let configs = Api::<ConfigMap>::namespaced(testbed::client_of(&kubeconfig).await?, caller.namespace);
    let watch = watcher(configs.clone(), watcher::Config::default())
        .default_backoff()
        .touched_objects();
    let mut watch = Box::pin(watch);
    let cluster = world.target("eu");
    let server = cluster.component(testbed::Component::ApiServer)?;
    for name in ["before", "after"] {
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": caller.namespace } });
        cluster.apply_yaml(&object.to_string()).await?;
        let seen = async {
            while let Some(event) = watch.next().await {
                if event.is_ok_and(|config| config.metadata.name.as_deref() == Some(name)) {
                    return Ok(());
                }
            }
            anyhow::bail!("the watch ended")
        };
        tokio::time::timeout(SOON, seen)
            .await
            .with_context(|| format!("{name} is not seen"))??;
        if name == "before" {
            server.restart().await?;
            cluster.wait_ready(SOON).await?;
        }
    }
    world.proxy("eu")?.replicas.check()
}
