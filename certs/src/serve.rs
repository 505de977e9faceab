//! The accept loop: TCP, TLS if wanted, HTTP/2 or HTTP/1.1.
//!
//! The API server and kube-scheduler speak HTTP/2 with a server that does: one connection carries a burst of hundreds of
//! requests, each of which would otherwise want a connection and its handshake.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ServingTls;
use crate::crowd::{Crowd, Seat};
use crate::handler::{Handler, Peer};
use crate::heads::Watched;
use crate::limits::Limits;
use crate::material::HTTP2;
use crate::requests::Requests;

/// How long to wait before the next accept when the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long handshakes that are under way at shutdown may take: their request is answered, or sent elsewhere.
const LAST_HANDSHAKES: Duration = Duration::from_secs(1);
/// Requests of one HTTP/2 connection at a time. A client with more opens another connection.
const STREAMS: u32 = 250;
/// How often a silent HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));
/// Streams that a client may reset before we have looked at them ("rapid reset", CVE-2023-44487); one more ends the
/// connection.
const PENDING_RESETS: usize = 20;
/// Streams that a client may make us reset by its own errors; one more ends the connection.
const LOCAL_RESETS: usize = 100;
/// Largest header of a request over HTTP/1.1, in bytes; what is larger is answered with 431.
const MAX_HTTP1_HEADER: usize = 64 << 10;
/// Most fields of a header; what has more is answered with 431.
const MAX_FIELDS: usize = 64;

/// Everything that the task of a connection needs.
#[derive(Clone)]
struct Server<H> {
    /// `None`: plain HTTP/1.1.
    tls: Option<ServingTls>,
    handler: H,
    limits: Arc<Limits>,
    /// No new requests: finish those in flight.
    shutdown: CancellationToken,
}

/// Serve `handler`, most often an axum `Router`, over TLS until `shutdown`, then let requests in flight finish for
/// [`Limits::grace`], then return.
///
/// Limits of bodies and their time are the handler's business.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: ServingTls,
    handler: H,
    limits: Limits,
    shutdown: CancellationToken,
) {
    run(listener, Some(tls), handler, limits, shutdown).await;
}

/// As [`serve`], without TLS and over HTTP/1.1 only: for a port that tells nobody anything.
pub async fn serve_plain(listener: TcpListener, router: Router, limits: Limits, shutdown: CancellationToken) {
    run(listener, None, router, limits, shutdown).await;
}

async fn run<H: Handler>(
    listener: TcpListener,
    tls: Option<ServingTls>,
    handler: H,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let crowd = Crowd::new(limits.connections);
    let connections = TaskTracker::new();
    let over = CancellationToken::new();
    let grace = limits.grace;
    let server = Server {
        tls,
        handler,
        limits: Arc::new(limits),
        shutdown: shutdown.clone(),
    };
    while let Some((stream, addr)) = next(&listener, &shutdown).await {
        let Some(seat) = crowd.join() else {
            tracing::warn!(connections = crowd.most(), "busy: a new connection was closed");
            continue;
        };
        let (server, over) = (server.clone(), over.clone());
        connections.spawn(async move {
            let seat = Arc::new(seat);
            tokio::select! {
                () = over.cancelled() => {}
                () = seat.member.gone.cancelled() => tracing::debug!("connection closed for another one"),
                () = server.connection(stream, addr, seat.clone()) => {}
            }
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

/// The next client; from `shutdown` on only those that have connected by then. To them it is an error when nobody answers,
/// and the last ones often come just when a replica stops.
async fn next(listener: &TcpListener, shutdown: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    match shutdown.run_until_cancelled(accept(listener)).await {
        None => accept(listener).now_or_never(),
        stream => stream,
    }
}

/// The next client.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(client) => return client,
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

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}

/// The client has hung up, or the handler has cut an answer short.
fn is_usual(error: &hyper::Error) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(is_hang_up)
        || error.is_user()
        || error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
        || error.is_body_write_aborted()
        || error.is_shutdown()
}

impl<H: Handler> Server<H> {
    async fn connection(self, stream: TcpStream, addr: SocketAddr, seat: Arc<Seat>) {
        // A response must not wait for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        if let Some(silence) = self.limits.keepalive {
            let keepalive = TcpKeepalive::new().with_time(silence).with_interval(silence / 2);
            let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        }
        let peer = |certificates: Option<&[CertificateDer<'static>]>| Peer {
            addr,
            certificates: certificates.unwrap_or_default().into(),
            seat,
        };
        let finished = match &self.tls {
            None => self.http1(stream, peer(None)).await,
            Some(tls) => {
                let handshake = TlsAcceptor::from(tls.current()).accept(stream);
                let handshake = tokio::time::timeout(self.limits.handshake, handshake);
                let shutdown = async {
                    self.shutdown.cancelled().await;
                    tokio::time::sleep(LAST_HANDSHAKES).await;
                };
                let handshake = tokio::select! { ended = handshake => Some(ended), () = shutdown => None };
                match handshake {
                    Some(Ok(Ok(stream))) => {
                        let tls = stream.get_ref().1;
                        let (peer, http2) = (peer(tls.peer_certificates()), tls.alpn_protocol() == Some(HTTP2));
                        match http2 {
                            true => self.http2(stream, peer).await,
                            false => self.http1(stream, peer).await,
                        }
                    }
                    Some(Ok(Err(error))) if is_hang_up(&error) => return tracing::debug!(%error, "TLS handshake"),
                    Some(Ok(Err(error))) => return self.handler.broke(addr, &format_args!("TLS handshake: {error}")),
                    Some(Err(_)) => return self.handler.broke(addr, &"TLS handshake took too long"),
                    None => return,
                }
            }
        };
        match finished {
            Ok(()) => {}
            Err(error) if is_usual(&error) => tracing::debug!(%error, "connection ended"),
            Err(error) => self.handler.broke(addr, &error),
        }
    }

    async fn http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) -> hyper::Result<()> {
        match H::STRICT {
            true => {
                let (stream, suspicion) = Watched::new(stream, MAX_HTTP1_HEADER);
                let requests = Requests::new(self.handler.clone(), peer, Some(suspicion.clone()));
                match self.http1_requests(stream, requests).await {
                    // Idle for as long as it may be.
                    Err(error) if error.is_timeout() && !suspicion.has_begun() => Ok(()),
                    finished => finished,
                }
            }
            false => {
                let requests = Requests::new(self.handler.clone(), peer, None);
                self.http1_requests(stream, requests).await
            }
        }
    }

    async fn http1_requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        requests: Requests<H>,
    ) -> hyper::Result<()> {
        let mut builder = http1::Builder::new();
        if H::STRICT {
            // Without it, a header of which more has come at once than fits is read all the same.
            builder.max_header_size(MAX_HTTP1_HEADER);
        }
        let connection = builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_headers(MAX_FIELDS)
            .max_buf_size(MAX_HTTP1_HEADER)
            .serve_connection(TokioIo::new(stream), requests)
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            finished = connection.as_mut() => return finished,
            () = self.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) -> hyper::Result<()> {
        let member = peer.seat.member.clone();
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .max_concurrent_streams(STREAMS)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(LOCAL_RESETS)
            .max_header_list_size(self.limits.http2_header)
            .max_send_buf_size(self.limits.unread)
            .serve_connection(TokioIo::new(stream), Requests::new(self.handler.clone(), peer, None));
        let mut connection = pin!(connection);
        tokio::select! {
            finished = connection.as_mut() => return finished,
            () = self.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
            () = member.idle(self.limits.idle) => {
                connection.as_mut().graceful_shutdown();
                // A client that does not read is not waited for.
                let finished = tokio::time::timeout(self.limits.handshake, connection).await;
                return finished.unwrap_or(Ok(()));
            }
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
        let shutdown = CancellationToken::new();
        let server = Server {
            tls: None,
            handler: Router::new().route("/", get(|| async { "x".repeat(8000) })),
            limits: Arc::new(Limits::default()),
            shutdown,
        };
        let (mut client, stream) = tokio::io::duplex(1 << 20);
        let writes = Arc::new(AtomicUsize::new(0));
        let (counted, seat) = (Counted(stream, writes.clone()), Crowd::new(1).join().unwrap());
        let peer = Peer {
            addr: ([127, 0, 0, 1], 1).into(),
            certificates: [].into(),
            seat: Arc::new(seat),
        };
        let serving = tokio::spawn(async move { server.http1(counted, peer).await });
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
