//! What is behind the accept loop: a router, or anything else that answers requests and wants to know of whom.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::{Body, Bytes};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::CertificateDer;

use crate::crowd::{self, Seat};
use crate::requests::RequestBody;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Answers the requests of connections.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Body of its responses.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
    /// Answers the requests of one connection.
    type Answers: Service<
            Request<RequestBody>,
            Response = hyper::Response<Self::Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Send
        + 'static;

    /// A header over HTTP/1.1 that two readers could read in two ways is refused, also where hyper would mend it: for those
    /// who pass requests on.
    const STRICT: bool = false;

    /// Somebody has connected.
    fn answers(&self, peer: &Peer) -> Self::Answers;

    /// A request was refused, for this reason, before it came to [`Self::answers`].
    fn malformed(&self, peer: &Peer, reason: &'static str) -> hyper::Response<Self::Body>;

    /// A connection came to an end by what its client has sent: no TLS, no HTTP, or too slowly. That clients hang up is
    /// nothing to tell.
    fn broke(&self, _addr: SocketAddr, error: &dyn fmt::Display) {
        tracing::debug!(%error, "connection ended");
    }
}

impl Handler for Router {
    type Body = axum::body::Body;
    type Answers = TowerToHyperService<Router>;

    fn answers(&self, _peer: &Peer) -> Self::Answers {
        TowerToHyperService::new(self.clone())
    }

    fn malformed(&self, _peer: &Peer, reason: &'static str) -> Response {
        (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response()
    }
}

/// Who has connected.
#[derive(Clone)]
pub struct Peer {
    /// From where.
    pub addr: SocketAddr,
    /// Client certificates that it has shown, its own first. What was checked of them is up to the mode of
    /// [`crate::ClientCertificates`].
    pub certificates: Arc<[CertificateDer<'static>]>,
    pub(crate) seat: Arc<Seat>,
}

impl Peer {
    /// Close the connection, whatever is under way.
    pub fn hang_up(&self) {
        self.seat.member.gone.cancel();
    }

    /// As long as this is held, the connection counts as one with a request in hand, which no newcomer displaces: for
    /// answers that go on for long, and for connections that have been upgraded.
    pub fn hold(&self) -> Held {
        let request = self.seat.member.begin();
        request.is_whole();
        request.is_answered();
        Held {
            _request: request,
            _seat: self.seat.clone(),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.addr)
    }
}

/// Keeps a connection's place: [`Peer::hold`].
pub struct Held {
    _request: Arc<crowd::Request>,
    _seat: Arc<Seat>,
}
