//! Clients that say nothing, or not enough, and the others who must not suffer.

use std::time::{Duration, Instant};

use multicluster_certs::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::TestServer;

#[tokio::test]
async fn a_thousand_silent_connections_stop_nobody() {
    let server = TestServer::start(Limits::default()).await;
    let mut silent = Vec::new();
    for n in 0..1000 {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        if n % 2 == 0 {
            // The beginning of a handshake that never goes on.
            stream.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
        }
        silent.push(stream);
    }
    let begin = Instant::now();
    assert!(server.get("/", None).await.unwrap().ends_with("hello"));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn idle_connections_after_the_handshake_stop_nobody() {
    let server = TestServer::start(Limits::default()).await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(server.connect(None).await.unwrap());
    }
    assert!(server.get("/", None).await.unwrap().ends_with("hello"));
}

#[tokio::test]
async fn when_all_slots_are_stalled_the_handshake_limit_frees_them() {
    let limits = Limits {
        connections: 2,
        handshake: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = TestServer::start(limits).await;
    let (_a, _b) = (
        TcpStream::connect(server.addr).await.unwrap(),
        TcpStream::connect(server.addr).await.unwrap(),
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begin = Instant::now();
    assert!(server.get("/", None).await.unwrap().ends_with("hello"));
    assert!(begin.elapsed() > Duration::from_millis(50), "there was a free slot");
}

#[tokio::test]
async fn a_header_that_does_not_end_is_cut_off() {
    let limits = Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = TestServer::start(limits).await;
    let mut stream = server.connect(None).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "still open");
    assert!(!String::from_utf8_lossy(&rest).contains("hello"));
}
