//! A handler of one's own: it knows who has connected, and is told who has sent nonsense.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use hyper::service::Service;
use hyper::{Request, Response};
use multicluster_certs::dev::DevCa;
use multicluster_certs::{ClientCertificates, Handler, Limits, Peer, RequestBody, ServingTls, serve};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// Answers how many certificates the client has shown.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<Vec<String>>>);

struct Answers(usize);

impl Handler for Counting {
    type Body = Body;
    type Answers = Answers;
    const STRICT: bool = true;

    fn answers(&self, peer: &Peer) -> Answers {
        Answers(peer.certificates.len())
    }

    fn malformed(&self, _: &Peer, reason: &'static str) -> Response<Body> {
        self.0.lock().unwrap().push(reason.into());
        Response::builder().status(400).body(Body::empty()).unwrap()
    }

    fn broke(&self, _: SocketAddr, error: &dyn fmt::Display) {
        self.0.lock().unwrap().push(error.to_string());
    }
}

impl Service<Request<RequestBody>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn call(&self, _: Request<RequestBody>) -> Self::Future {
        ready(Ok(Response::new(Body::from(format!("certificates: {}", self.0)))))
    }
}

struct Server {
    ca: DevCa,
    addr: SocketAddr,
    told: Counting,
}

impl Server {
    async fn start() -> Self {
        let ca = DevCa::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let args = ca.server(&["localhost"]).unwrap().write_to(folder.path()).unwrap();
        let stop = CancellationToken::new();
        let judged = ClientCertificates::Judged;
        let tls = ServingTls::start_with(&args, judged, Duration::from_secs(5), stop.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, told) = (listener.local_addr().unwrap(), Counting::default());
        let limits = Limits {
            idle: Duration::from_millis(300),
            ..Limits::default()
        };
        tokio::spawn(serve(listener, tls, told.clone(), limits, stop));
        Self { ca, addr, told }
    }

    async fn connect(&self, certificate: bool) -> TlsStream<TcpStream> {
        // Of an authority that nobody knows.
        let identity = certificate.then(|| DevCa::new().unwrap().client("anybody").unwrap());
        let config = self.ca.client_config(identity.as_ref()).unwrap();
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config).connect(name, stream).await.unwrap()
    }

    fn told(&self) -> Vec<String> {
        self.told.0.lock().unwrap().clone()
    }
}

async fn send(mut stream: TlsStream<TcpStream>, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn any_certificate_is_shown_to_the_handler_and_none_is_needed() {
    let server = Server::start().await;
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert!(
        send(server.connect(false).await, request)
            .await
            .ends_with("certificates: 0")
    );
    assert!(
        send(server.connect(true).await, request)
            .await
            .ends_with("certificates: 1")
    );
    assert_eq!(server.told(), [] as [&str; 0]);
}

#[tokio::test]
async fn idle_connections_are_nothing_to_tell_and_slow_headers_are() {
    let server = Server::start().await;
    assert_eq!(send(server.connect(false).await, b"").await, "");
    let answer = send(server.connect(false).await, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.ends_with("certificates: 0"));
    drop(server.connect(false).await);
    drop(TcpStream::connect(server.addr).await.unwrap());
    assert_eq!(server.told(), [] as [&str; 0]);
    send(server.connect(false).await, b"GET / HTTP/1.1\r\nhost:").await;
    assert_eq!(server.told().len(), 1, "{:?}", server.told());
}

#[tokio::test]
async fn what_is_no_request_is_told() {
    let server = Server::start().await;
    let answer = send(server.connect(false).await, b"GET / HTTP/1.1\r\nhost: a\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"));
    assert_eq!(server.told(), ["end each line of the header with CR LF"]);
    send(server.connect(false).await, b"nonsense\r\n\r\n").await;
    let mut plain = TcpStream::connect(server.addr).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = plain.read_to_end(&mut Vec::new()).await;
    assert_eq!(server.told().len(), 3, "{:?}", server.told());
}
