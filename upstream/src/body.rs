//! Bodies of responses: our own, and the API server's, which can be cut.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};

use crate::BoxError;

/// What a request in flight holds, and what may end it before its time.
pub trait Cuttable: Send + Unpin + 'static {
    /// Why it was cut.
    type Why: Into<BoxError>;

    /// Ready when it has to end. One task at a time may wait for that.
    fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Self::Why>;
}

/// A response's body.
pub enum Body<F> {
    /// Ours.
    Whole(Full<Bytes>),
    /// The API server's.
    Stream(Stream<F>),
}

/// A body on its way from the API server. Ends with an error when its caller is cut off: the client then sees an unfinished
/// response (a connection closed before its time, or a stream reset), and cannot take it for all there is.
pub struct Stream<F> {
    body: Incoming,
    flight: F,
}

impl<F> Stream<F> {
    /// This body, for as long as the flight may go on.
    pub fn new(body: Incoming, flight: F) -> Self {
        Self { body, flight }
    }
}

impl<F> Body<F> {
    /// Nothing.
    pub fn empty() -> Self {
        Self::Whole(Full::default())
    }
}

impl<F: Cuttable> HttpBody for Body<F> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Stream(stream) => {
                if let Poll::Ready(cut) = stream.flight.poll_cut(cx) {
                    return Poll::Ready(Some(Err(cut.into())));
                }
                Pin::new(&mut stream.body).poll_frame(cx).map_err(Into::into)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream(stream) => stream.body.size_hint(),
        }
    }
}
