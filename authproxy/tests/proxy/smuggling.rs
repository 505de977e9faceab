//! Requests that two readers could read in two ways, and such as are none.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{connect, raw};
use crate::world::World;

fn code(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[tokio::test]
async fn none_of_them_reaches_the_api_server() {
    let world = World::new().await;
    let identity = world.identity();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let cases = [
        (
            "TE after CL",
            format!(
                "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "CL after TE",
            format!(
                "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "two lengths",
            format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx{smuggled}"),
        ),
        (
            "one length twice",
            format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx{smuggled}"),
        ),
        (
            "a list of lengths",
            format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx{smuggled}"),
        ),
        (
            "a length with a sign",
            format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx{smuggled}"),
        ),
        (
            "strange TE",
            format!("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "TE in layers",
            format!("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "two TE",
            format!(
                "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "TE with a space",
            format!("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "TE in HTTP/1.0",
            format!("POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "obs-fold",
            "GET /x HTTP/1.1\r\nHost: a\r\nX-A: b\r\n Impersonate-User: admin\r\n\r\n".into(),
        ),
        ("bare LF", "GET /x HTTP/1.1\nHost: a\n\n".into()),
        (
            "bare LF in a header",
            "GET /x HTTP/1.1\r\nHost: a\r\nX-A: b\nImpersonate-User: admin\r\n\r\n".into(),
        ),
        (
            "bare CR",
            "GET /x HTTP/1.1\r\nHost: a\r\nX-A: b\rImpersonate-User: admin\r\n\r\n".into(),
        ),
        ("NUL", "GET /x HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n".into()),
        (
            "absolute form",
            "GET http://elsewhere/x HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        ),
        (
            "absolute form, https",
            "GET https://kubernetes.default/x HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        ),
        ("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("CONNECT", "CONNECT 10.0.0.1:6443 HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("TRACE", "TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("no path", "GET x HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("a space in the path", "GET /x /y HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("HTTP/0.9", "GET /x\r\n\r\n".into()),
        ("HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        ("not HTTP", "\x16\x03\x01 hello\r\n\r\n".into()),
        (
            "a long line",
            format!("GET /x HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "a".repeat(100_000)),
        ),
        (
            "a long path",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100_000)),
        ),
        (
            "many lines",
            format!("GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(1000)),
        ),
        (
            "Connection names who is impersonated",
            "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close, Impersonate-User\r\n\r\n".into(),
        ),
    ];
    for (name, bytes) in cases {
        let answer = raw(&world, Some(&identity), bytes.as_bytes()).await;
        let code = code(&answer);
        let good = code.is_none_or(|code| [400, 401, 403, 405, 414, 431, 505].contains(&code));
        assert!(good, "{name}: {answer}");
        let more = answer.matches("HTTP/1.1 ").count();
        assert!(more <= 1, "{name}: something was taken for a second request: {answer}");
        assert_eq!(world.api.asked().len(), 0, "{name}: {:?}", world.api.asked());
    }
}

#[tokio::test]
async fn what_is_behind_a_body_without_a_length_is_not_read() {
    let world = World::new().await;
    let bytes = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = raw(&world, Some(&world.identity()), bytes.as_bytes()).await;
    assert_eq!(code(&answer), Some(200), "{answer}");
    let asked = world.api.asked();
    assert_eq!((asked.len(), &asked[0].body[..]), (1, &b"hi"[..]));
}

#[tokio::test]
async fn pipelined_requests_are_two_requests() {
    let world = World::new().await;
    let bytes = "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = raw(&world, Some(&world.identity()), bytes.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    let asked = world.api.asked();
    assert_eq!([&asked[0].target, &asked[1].target], ["/a", "/b"]);
}

#[tokio::test]
async fn a_slow_header_holds_nobody_up() {
    let world = World::with(&["--max-connections=3"]).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&world, Some(&world.identity()), &[b"http/1.1"]).await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost:").await.unwrap();
        slow.push(stream);
    }
    let answer = raw(&world, Some(&world.identity()), b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(code(&answer), Some(200), "{answer}");
    let end = tokio::time::timeout(Duration::from_secs(1), slow[0].read(&mut [0; 1])).await;
    assert!(matches!(end, Ok(Ok(0) | Err(_))));
    assert_eq!(world.api.asked().len(), 1);
}

/// HTTP/2 frames by hand: header lists that no client of good will sends.
#[tokio::test]
async fn http2_headers_that_hyper_would_not_send_are_refused() {
    // HPACK without compression: literal, never indexed, new name.
    fn field(name: &str, value: &str) -> Vec<u8> {
        let mut bytes = vec![0x10, name.len() as u8];
        bytes.extend(name.as_bytes());
        bytes.push(value.len() as u8);
        bytes.extend(value.as_bytes());
        bytes
    }
    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }
    let world = World::new().await;
    let usual = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a"),
        (":path", "/x"),
    ];
    let bad: [(&str, Vec<(&str, &str)>); 10] = [
        (
            "transfer-encoding",
            [&usual[..], &[("transfer-encoding", "chunked")]].concat(),
        ),
        ("connection", [&usual[..], &[("connection", "close")]].concat()),
        ("upper case", [&usual[..], &[("Impersonate-User", "admin")]].concat()),
        (
            "a line break",
            [&usual[..], &[("x-a", "b\r\nimpersonate-user: admin")]].concat(),
        ),
        ("two paths", [&usual[..], &[(":path", "/y")]].concat()),
        ("no path", usual[..3].to_vec()),
        ("an empty path", [&usual[..3], &[(":path", "")]].concat()),
        (
            "a path with a line break",
            [&usual[..3], &[(":path", "/x HTTP/1.1\r\nimpersonate-user: admin")]].concat(),
        ),
        (
            "a pseudo-header behind others",
            [&usual[..3], &[("x-a", "b"), (":path", "/x")]].concat(),
        ),
        (
            "extended CONNECT",
            vec![
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "https"),
                (":authority", "a"),
                (":path", "/x"),
            ],
        ),
    ];
    for (name, fields) in bad {
        let mut stream = connect(&world, Some(&world.identity()), &[b"h2"]).await;
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        let block: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
        bytes.extend(frame(1, 0x5, 1, &block));
        stream.write_all(&bytes).await.unwrap();
        let mut buffer = vec![0; 4096];
        while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut buffer)).await {
            if n == 0 {
                break;
            }
        }
        assert_eq!(world.api.asked().len(), 0, "{name}: {:?}", world.api.asked());
    }
}
