//! Requests that two readers could understand differently, and headers without end.

use std::time::Duration;

use multicluster_certs::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::TestServer;

/// All that the server says to these bytes, until it closes the connection.
async fn said(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = server.connect(None).await.unwrap();
    // A server that refuses early may not read all of it.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "still open after {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_two_readers_could_split_differently_is_refused() {
    let server = TestServer::start(Limits::default()).await;
    let hidden = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    for header in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: xchunked\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: -1",
        "content-length: 99999999999999999999",
        "content-length: 5\r\n folded: 1",
        "content-length : 5",
        "content-length\0: 5",
        "x: a\nb\rcontent-length: 5",
    ] {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{header}\r\n\r\n0\r\n\r\n{hidden}");
        let answer = said(&server, request.as_bytes()).await;
        assert!(!answer.contains("hello"), "{header}: {answer}");
        assert!(answer.matches("HTTP/1.1").count() <= 1, "{header}: {answer}");
    }
    assert!(server.get("/", None).await.unwrap().ends_with("hello"));
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let server = TestServer::start(Limits::default()).await;
    let many: String = (0..1000).map(|n| format!("x-{n}: 1\r\n")).collect();
    for header in [many, format!("x: {}\r\n", "y".repeat(1 << 20))] {
        let answer = said(&server, format!("GET / HTTP/1.1\r\nhost: a\r\n{header}\r\n").as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(1 << 20));
    assert!(!said(&server, long.as_bytes()).await.contains("200"));
    assert!(server.get("/", None).await.unwrap().ends_with("hello"));
}
