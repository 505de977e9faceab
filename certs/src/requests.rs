//! Requests on their way into the router: counted while they are open, and refused where two readers could disagree.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::crowd::{self, Member};

/// The router, for one connection.
pub(crate) struct Requests {
    router: TowerToHyperService<Router>,
    member: Arc<Member>,
}

impl Requests {
    pub fn new(router: Router, member: Arc<Member>) -> Self {
        Self {
            router: TowerToHyperService::new(router),
            member,
        }
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let open = self.member.begin();
        if request.body().is_end_stream() {
            open.is_whole();
        }
        let chunked =
            request.version() == Version::HTTP_11 && request.headers().contains_key(header::TRANSFER_ENCODING);
        let ambiguous = chunked && request.headers().contains_key(header::CONTENT_LENGTH);
        let body = |body| Counted {
            body,
            request: open.clone(),
        };
        let answer = (!ambiguous).then(|| self.router.call(request.map(body)));
        Box::pin(async move {
            let mut response = match answer {
                Some(answer) => answer.await?,
                None => (
                    StatusCode::BAD_REQUEST,
                    "write a content-length or a transfer-encoding, not both\n",
                )
                    .into_response(),
            };
            if chunked {
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

/// A body that tells when all of it has come.
struct Counted {
    body: Incoming,
    request: Arc<crowd::Request>,
}

impl Body for Counted {
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
