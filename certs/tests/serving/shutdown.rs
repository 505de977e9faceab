//! The end of the server.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::body::Body as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use multicluster_certs::Limits;
use tokio::net::TcpStream;

use crate::server::{TestServer, connect, get_over, keep_alive_get, shake_hands};

#[tokio::test]
async fn requests_in_flight_are_answered_and_idle_connections_closed() {
    let server = TestServer::start(Limits::default()).await;
    let (idle, busy) = (server.connect(None).await.unwrap(), server.connect(None).await.unwrap());
    let answer = tokio::spawn(get_over(busy, "/slow"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    assert!(answer.await.unwrap().unwrap().ends_with("slow"));
    tokio::time::timeout(Duration::from_secs(2), server.task)
        .await
        .expect("the server returns")
        .unwrap();
    drop(idle);
}

#[tokio::test]
async fn what_takes_longer_than_the_grace_is_cut_off() {
    let limits = Limits {
        grace: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = TestServer::start(limits).await;
    let answer = tokio::spawn(get_over(server.connect(None).await.unwrap(), "/slow"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert!(!answer.await.unwrap().is_ok_and(|answer| answer.ends_with("slow")));
}

#[tokio::test]
async fn an_http2_client_is_sent_elsewhere_while_its_request_is_finished() {
    let server = TestServer::start(Limits::default()).await;
    let mut config = Arc::unwrap_or_clone(server.ca.client_config(None).unwrap());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(server.addr, Arc::new(config)).await.unwrap();
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let get = |path: &str| {
        Request::get(format!("https://localhost{path}"))
            .body(Body::empty())
            .unwrap()
    };
    let answer = client.send_request(get("/slow"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = client.send_request(get("/")).await;
    assert!(refused.is_err(), "a new request goes elsewhere, on another connection");
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.body().size_hint().exact()),
        (200, Some(4))
    );
    server.task.await.unwrap();
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_connects_just_as_the_server_stops_is_answered() {
    let server = TestServer::start(Limits::default()).await;
    let mut config = Arc::unwrap_or_clone(server.ca.client_config(None).unwrap());
    config.alpn_protocols = vec![b"h2".to_vec()];
    // One that is accepted already, and one that the kernel alone knows.
    let early = TcpStream::connect(server.addr).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let late = TcpStream::connect(server.addr).await.unwrap();
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for stream in [early, late] {
        let stream = shake_hands(stream, Arc::new(config.clone())).await.unwrap();
        let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("https://localhost/").body(Body::empty()).unwrap();
        assert_eq!(client.send_request(request).await.unwrap().status(), 200);
        connection.await.unwrap().unwrap();
    }
    server.task.await.unwrap();
}

#[tokio::test]
async fn an_http1_client_is_told_to_close() {
    let server = TestServer::start(Limits::default()).await;
    let stream = server.connect(None).await.unwrap();
    let answer = tokio::spawn(keep_alive_get(stream, "/slow"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    let answer = answer.await.unwrap().unwrap().to_lowercase();
    assert!(
        answer.contains("connection: close") && answer.ends_with("slow"),
        "{answer}"
    );
}
