//! An API server of the test: it remembers what it was asked, and does what the path says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::cluster::Objects;

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) struct ApiServer {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// What watches send.
    pub(crate) events: broadcast::Sender<Bytes>,
    pub(crate) objects: Objects,
    task: JoinHandle<()>,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With or without TLS.
    pub(crate) async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let events = broadcast::Sender::new(64);
        let objects = Objects::new();
        let server = (asked.clone(), events.clone(), objects.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (server, tls) = (server.clone(), tls.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(request, server.clone()));
                    let http = hyper::server::conn::http1::Builder::new();
                    if let Some(tls) = tls {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        let _ = http
                            .serve_connection(TokioIo::new(stream), service)
                            .with_upgrades()
                            .await;
                    } else {
                        let _ = http
                            .serve_connection(TokioIo::new(stream), service)
                            .with_upgrades()
                            .await;
                    }
                });
            }
        });
        Self {
            addr,
            asked,
            events,
            objects,
            task,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many watches are open.
    pub(crate) fn watches(&self) -> usize {
        self.events.receiver_count()
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    mut request: Request<Incoming>,
    (asked, events, objects): (Arc<Mutex<Vec<Asked>>>, broadcast::Sender<Bytes>, Objects),
) -> Result<Response<Body>, std::io::Error> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let remember = |body: Bytes| {
        asked.lock().unwrap().push(Asked {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            headers: parts.headers.clone(),
            body,
        });
    };
    if let Some(answer) = objects.answer(&path, parts.uri.query().unwrap_or_default()) {
        return Ok(answer);
    }
    match path.as_str() {
        "/watch" => {
            remember(Bytes::new());
            let received = futures::stream::unfold(events.subscribe(), |mut events| async move {
                let event = events.recv().await.ok()?;
                Some((Ok(Frame::data(event)), events))
            });
            Ok(Response::new(BodyExt::boxed_unsync(StreamBody::new(received.boxed()))))
        }
        "/stall" => {
            remember(Bytes::new());
            tokio::time::sleep(Duration::from_secs(600)).await;
            Ok(Response::new(whole("late")))
        }
        // The connection is closed without an answer.
        "/close" => {
            remember(Bytes::new());
            Err(std::io::Error::other("closed"))
        }
        "/endless" => {
            remember(Bytes::new());
            let chunks = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b'x'; 8192]))));
            Ok(Response::new(BodyExt::boxed_unsync(StreamBody::new(chunks))))
        }
        "/exec" if parts.headers.contains_key("upgrade") => {
            remember(Bytes::new());
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut buffer = vec![0; 4096];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => break,
                        Ok(n) => stream.write_all(&buffer[..n]).await.unwrap(),
                    }
                }
                // The other way is still open: a last word.
                let _ = stream.write_all(b"bye").await;
                let _ = stream.shutdown().await;
            });
            let response = Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header("connection", "Upgrade")
                .header("upgrade", parts.headers["upgrade"].clone());
            Ok(response.body(Empty::new().map_err(never).boxed_unsync()).unwrap())
        }
        "/gone" => {
            remember(Bytes::new());
            let response = Response::builder()
                .status(410)
                .header("content-type", "application/json");
            Ok(response.body(whole(r#"{"kind":"Status","code":410}"#)).unwrap())
        }
        "/gzip" => {
            remember(Bytes::new());
            let response = Response::builder()
                .header("content-encoding", "gzip")
                .header("keep-alive", "timeout=5")
                .header("x-kubernetes-pf-flowschema-uid", "abc");
            Ok(response.body(whole("not really gzip")).unwrap())
        }
        _ => {
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            remember(body);
            Ok(Response::new(whole("hello")))
        }
    }
}

fn whole(text: &'static str) -> Body {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(never)
        .boxed_unsync()
}

pub(crate) fn never(error: Infallible) -> std::io::Error {
    match error {}
}
