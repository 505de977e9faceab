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

/// As many connections, with both ends in this process, as its open files allow.
fn affordable(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    wanted.min(soft.unwrap_or(1024).saturating_sub(256) / 2)
}

/// A client that writes its request one byte at a time, and never ends.
async fn slow_writer(mut stream: tokio_rustls::client::TlsStream<TcpStream>) {
    for byte in b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'x')) {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_idle_slow_and_half_open_connections_than_there_are_places_stop_nobody() {
    let limits = Limits {
        connections: 200,
        ..Limits::default()
    };
    let server = TestServer::start(limits).await;
    // A client that was served before keeps its connection.
    let mut scheduler = server.connect(None).await.unwrap();
    assert!(ask(&mut scheduler).await.ends_with("hello"));

    let idle = connected(&server, affordable(1000)).await;
    let slow = connected(&server, 50).await;
    let writers: Vec<_> = slow
        .into_iter()
        .map(|stream| tokio::spawn(slow_writer(stream)))
        .collect();
    let mut half_open = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
        half_open.push(stream);
    }
    assert!(idle.len() > 200, "not more than there are places");

    let begin = Instant::now();
    assert!(server.get("/", None).await.unwrap().ends_with("hello"));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(ask(&mut scheduler).await.ends_with("hello"), "the old connection");
    writers.iter().for_each(tokio::task::JoinHandle::abort);
}

/// So many clients after their handshake; the server may have closed some since.
async fn connected(server: &TestServer, count: usize) -> Vec<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        clients.extend(server.connect(None).await);
    }
    clients
}

/// One request over a connection that stays open.
async fn ask(stream: &mut tokio_rustls::client::TlsStream<TcpStream>) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed");
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_one_that_never_asked() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = TestServer::start(limits).await;
    let mut served = server.connect(None).await.unwrap();
    assert!(ask(&mut served).await.ends_with("hello"));
    let mut stalled = TcpStream::connect(server.addr).await.unwrap();
    let begin = Instant::now();
    assert!(server.get("/", None).await.unwrap().ends_with("hello"));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let ended = tokio::time::timeout(Duration::from_secs(5), stalled.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "the stalled one went");
    assert!(ask(&mut served).await.ends_with("hello"));
}

#[tokio::test]
async fn a_request_in_hand_is_finished_however_many_come() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = TestServer::start(limits).await;
    let mut working = server.connect(None).await.unwrap();
    working
        .write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut late = TcpStream::connect(server.addr).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), late.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "there is no place");
    let mut answer = String::new();
    working.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("slow"), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut_off() {
    let limits = Limits {
        handshake: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = TestServer::start(limits).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "still open");
}

#[tokio::test]
async fn an_idle_http2_connection_is_ended() {
    let limits = Limits {
        idle: Duration::from_millis(200),
        // This client does not say goodbye.
        handshake: Duration::from_secs(1),
        ..Limits::default()
    };
    let server = TestServer::start(limits).await;
    let mut config = (*server.ca.client_config(None).unwrap()).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = crate::server::connect(server.addr, config.into()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    // An empty SETTINGS frame.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut frames = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut frames)).await;
    assert!(ended.is_ok(), "still open");
    // Types of the frames: the last one is GOAWAY.
    assert!(
        frames.windows(4).any(|window| window[0] == 0 && window[3] == 7),
        "{frames:?}"
    );
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
