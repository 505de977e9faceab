//! The accept loop: TCP, TLS, HTTP/2 or HTTP/1.1.
//!
//! The API server and kube-scheduler speak HTTP/2 with a server that does: one connection carries a burst of hundreds of
//! requests, each of which would otherwise want a connection and its handshake.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ServingTls;
use crate::material::HTTP2;

/// How long to wait before the next accept when the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests of one HTTP/2 connection at a time. A client with more opens another connection.
const STREAMS: u32 = 250;
/// How often a silent HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));
/// Largest header of a request, in bytes.
const MAX_HEADER: u32 = 16 << 10;

/// What one client may take from the others.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest wait for the whole header of a request, counted from the end of the handshake or of the last response.
    ///
    /// It must be longer than clients keep idle connections (Go and therefore the API server and kube-scheduler: 90
    /// seconds). When the server closes first, a request that is just on its way fails, and `failurePolicy: Fail` makes
    /// that a pod that is not created.
    pub idle: Duration,
    /// How long requests in flight may take to finish at shutdown.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            grace: Duration::from_secs(20),
        }
    }
}

/// Everything that the task of a connection needs.
#[derive(Clone)]
struct Server {
    tls: ServingTls,
    router: Router,
    limits: Arc<Limits>,
    /// No new requests: finish those in flight.
    shutdown: CancellationToken,
}

/// Serve `router` until `shutdown`, then let requests in flight finish for [`Limits::grace`], then return.
///
/// Limits of bodies and their time are the router's business.
pub async fn serve(
    listener: TcpListener,
    tls: ServingTls,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let over = CancellationToken::new();
    let grace = limits.grace;
    let server = Server {
        tls,
        router,
        limits: Arc::new(limits),
        shutdown: shutdown.clone(),
    };
    while let Some(Some((stream, slot))) = shutdown.run_until_cancelled(accept(&listener, &slots)).await {
        let (server, over) = (server.clone(), over.clone());
        connections.spawn(async move {
            over.run_until_cancelled(server.connection(stream)).await;
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests cut off at shutdown");
    }
    over.cancel();
    connections.wait().await;
}

/// The next client, when there is a free slot. `None` when there will be no slots any more.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, slot)),
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Server {
    async fn connection(self, stream: TcpStream) {
        // A response must not wait for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let handshake = TlsAcceptor::from(self.tls.current()).accept(stream);
        let handshake = tokio::time::timeout(self.limits.handshake, handshake);
        match self.shutdown.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
                let finished = if http2 {
                    self.http2(stream).await
                } else {
                    self.http1(stream).await
                };
                if let Err(error) = finished {
                    tracing::debug!(%error, "connection ended");
                }
            }
            Some(Ok(Err(error))) => tracing::debug!(%error, "TLS handshake failed"),
            Some(Err(_)) => tracing::debug!("TLS handshake took too long"),
            None => {}
        }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> hyper::Result<()> {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router));
        let mut connection = pin!(connection);
        tokio::select! {
            finished = connection.as_mut() => return finished,
            () = self.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> hyper::Result<()> {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(MAX_HEADER)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router));
        let mut connection = pin!(connection);
        tokio::select! {
            finished = connection.as_mut() => return finished,
            () = self.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf};

    use super::*;

    /// Counts writes, each of which becomes one TLS record and, with TCP_NODELAY, one packet.
    struct Counted(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counted {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write(cx, buf)
        }
        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let together: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            self.poll_write(cx, &together)
        }
        fn is_write_vectored(&self) -> bool {
            true
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn header_and_body_leave_in_one_write() {
        let ca = crate::dev::DevCa::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let args = ca.server(&["localhost"]).unwrap().write_to(folder.path()).unwrap();
        let shutdown = CancellationToken::new();
        let server = Server {
            tls: ServingTls::start(&args, Duration::from_secs(5), shutdown.clone()).unwrap(),
            router: Router::new().route("/", get(|| async { "x".repeat(8000) })),
            limits: Arc::new(Limits::default()),
            shutdown,
        };
        let (mut client, stream) = tokio::io::duplex(1 << 20);
        let writes = Arc::new(AtomicUsize::new(0));
        let serving = tokio::spawn(server.http1(Counted(stream, writes.clone())));
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        serving.await.unwrap().unwrap();
        assert!(answer.len() > 8000);
        assert_eq!(writes.load(Ordering::Relaxed), 1);
    }
}
