//! WebSocket and SPDY.

use std::time::Duration;

use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::client::{Body, Client, get, status, text, with};
use crate::world::{USER, World, until};

fn exec(protocol: &str) -> Request<Body> {
    with(
        with(get("/exec?command=sh"), "connection", "Upgrade"),
        "upgrade",
        protocol,
    )
}

async fn upgraded(world: &World, protocol: &str) -> impl AsyncRead + AsyncWrite + Unpin {
    let mut client = Client::http1(world, Some(&world.identity())).await;
    let response = client.send(exec(protocol)).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["upgrade"], protocol);
    TokioIo::new(hyper::upgrade::on(response).await.unwrap())
}

#[tokio::test]
async fn both_ways_pass_and_each_ends_by_itself() {
    let world = World::new().await;
    for protocol in ["SPDY/3.1", "websocket"] {
        let mut stream = upgraded(&world, protocol).await;
        assert_eq!(world.api.asked().pop().unwrap().headers["impersonate-user"], USER);
        assert_eq!(world.flights.counts().upgraded, 1);
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        let mut received = vec![0; sent.len()];
        let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        assert!(sent == received);
        writer.shutdown().await.unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"bye", "what comes after our own end");
        until("it has ended", || world.flights.counts().upgraded == 0).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_no_upgrade_passes() {
    let world = World::new().await;
    let mut client = Client::http1(&world, Some(&world.identity())).await;
    let request = with(with(get("/gone"), "connection", "Upgrade"), "upgrade", "websocket");
    assert_eq!(status(client.send(request).await.unwrap()).await.0, 410);
    let mut client = Client::http1(&world, Some(&world.identity())).await;
    let request = with(with(get("/version"), "connection", "Upgrade"), "upgrade", "h2c");
    assert_eq!(text(client.send(request).await.unwrap()).await, "hello");
}

#[tokio::test]
async fn revoked_callers_lose_them() {
    let world = World::new().await;
    let mut stream = upgraded(&world, "SPDY/3.1").await;
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0; 1]).await.unwrap();
    world.trust(vec![]).await;
    let end = timeout(Duration::from_millis(500), stream.read(&mut [0; 1]))
        .await
        .unwrap();
    assert!(end.is_err(), "no clean end");
    until("it has ended", || world.flights.counts().upgraded == 0).await;
}

#[tokio::test]
async fn tokens_in_disguise_are_not_passed_on() {
    let world = World::new().await;
    let mut client = Client::http1(&world, Some(&world.identity())).await;
    let token = "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.dG9rZW4";
    let response = client
        .send(with(exec("websocket"), "sec-websocket-protocol", token))
        .await
        .unwrap();
    let (code, body) = status(response).await;
    assert_eq!(code, 401);
    assert!(!body.to_string().contains("dG9rZW4"));
    assert!(world.api.asked().is_empty());
}
