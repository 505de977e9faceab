//! Requests on their way into the handler: counted while they are open, and refused where two readers could disagree.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper::{Request, Response};

use crate::crowd;
use crate::handler::{Handler, Peer};
use crate::heads::Suspicion;

const TWO_LENGTHS: &str = "write a content-length or a transfer-encoding, not both";

/// The handler, for one connection.
pub(crate) struct Requests<H: Handler> {
    handler: H,
    answers: H::Answers,
    peer: Peer,
    /// What the connection's bytes have shown, where somebody looks at them.
    suspicion: Option<Suspicion>,
}

impl<H: Handler> Requests<H> {
    pub fn new(handler: H, peer: Peer, suspicion: Option<Suspicion>) -> Self {
        Self {
            answers: handler.answers(&peer),
            handler,
            peer,
            suspicion,
        }
    }

    fn refusal(&self, ambiguous: bool) -> Option<&'static str> {
        let suspicion = self.suspicion.as_ref().and_then(Suspicion::reason);
        suspicion.or(ambiguous.then_some(TWO_LENGTHS))
    }
}

impl<H: Handler> Service<Request<Incoming>> for Requests<H> {
    type Response = Response<H::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<H::Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let open = self.peer.seat.member.begin();
        if request.body().is_end_stream() {
            open.is_whole();
        }
        let chunked =
            request.version() == Version::HTTP_11 && request.headers().contains_key(header::TRANSFER_ENCODING);
        // Behind a request for another protocol nobody looks at headers any more, also if it stays HTTP.
        let unwatched = self.suspicion.is_some() && request.headers().contains_key(header::UPGRADE);
        let refusal = self.refusal(chunked && request.headers().contains_key(header::CONTENT_LENGTH));
        let body = |body| RequestBody {
            body,
            request: open.clone(),
        };
        let answer = match refusal {
            None => Ok(self.answers.call(request.map(body))),
            Some(reason) => Err(self.handler.malformed(&self.peer, reason)),
        };
        Box::pin(async move {
            let mut response = match answer {
                Ok(answer) => answer.await?,
                Err(response) => response,
            };
            let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if chunked || refusal.is_some() || (unwatched && !switched) {
                close(response.headers_mut());
            }
            open.is_answered();
            Ok(response)
        })
    }
}

/// A request whose length is not announced is the last one of its connection. Where a length may have been announced as
/// well (and was left out when the header was read), another reader may see another request behind it (RFC 9112, 6.1).
fn close(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// A request's body, which tells the accept loop when all of it has come.
pub struct RequestBody {
    body: Incoming,
    request: Arc<crowd::Request>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.request.is_whole();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
