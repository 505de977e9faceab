//! Answers of our own.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::flight::Body;
use crate::nodes::{NoDelegate, NoMetrics};
use crate::query::BadQuery;

/// When to try again after a failure that passes by itself.
const SOON: Duration = Duration::from_secs(1);

/// Why a request is answered here, and not by a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It is not known who calls; the text says what was wrong with what they have shown.
    #[error("Unauthorized: {0}")]
    Unauthenticated(String),
    /// They may not.
    #[error("Forbidden ({0})")]
    Forbidden(String),
    /// Nobody can say whether they may.
    #[error("the API server cannot be asked who calls, and whether they may: try again")]
    Unsure,
    /// No path of a kubelet.
    #[error("the virtual node's kubelet API has no such path")]
    NotFound,
    /// There are several virtual nodes at this address, or none.
    #[error("{0} virtual nodes share this address: ask for {1}")]
    WhichNode(usize, String),
    /// There is no such virtual node here.
    #[error("virtual node {0} is not served here")]
    UnknownNode(String),
    /// A method that the path does not have.
    #[error("the method is not allowed here")]
    Method,
    /// A request that nobody can make sense of.
    #[error("{0}")]
    Malformed(&'static str),
    /// Parameters that nobody can make sense of.
    #[error("{0}")]
    Query(#[from] BadQuery),
    /// The pod has no delegate to talk to.
    #[error("{0}")]
    NoDelegate(#[from] NoDelegate),
    /// There are no metrics.
    #[error("{0}")]
    NoMetrics(#[from] NoMetrics),
    /// All streams are taken.
    #[error("{0} streams are open through this agent, as many as there may be: try again")]
    Busy(usize),
    /// The target does not let itself be reached.
    #[error("the target cluster \"{0}\" cannot be reached")]
    Unreachable(String),
    /// The target takes what it is sent, and says nothing.
    #[error("the target cluster \"{0}\" does not answer")]
    Silent(String),
    /// The target has hung up.
    #[error("the target cluster \"{0}\" has hung up without an answer")]
    Lost(String),
    /// The identity in the target may not do that.
    #[error(
        "the target cluster \"{target}\" does not let this cluster do that: there, its Source needs the ClusterRole \
         multicluster-source-streams ({said})"
    )]
    NotGranted {
        /// The target.
        target: String,
        /// What it said.
        said: String,
    },
    /// The agent ends.
    #[error("the agent is shutting down: try again")]
    Ending,
}

impl Failure {
    /// The HTTP status.
    pub fn code(&self) -> StatusCode {
        match self {
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::NotGranted { .. } => StatusCode::FORBIDDEN,
            Self::NotFound | Self::WhichNode(..) | Self::UnknownNode(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed(_) | Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::NoDelegate(NoDelegate::UnknownPod { .. } | NoDelegate::Gone { .. }) => StatusCode::NOT_FOUND,
            Self::NoMetrics(NoMetrics::NotServed) => StatusCode::NOT_IMPLEMENTED,
            Self::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Silent(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Lost(_) => StatusCode::BAD_GATEWAY,
            Self::Unsure | Self::NoDelegate(_) | Self::NoMetrics(_) | Self::Unreachable(_) | Self::Ending => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Kubernetes' word for the status.
    fn reason(&self) -> &'static str {
        match self.code() {
            StatusCode::UNAUTHORIZED => "Unauthorized",
            StatusCode::FORBIDDEN => "Forbidden",
            StatusCode::NOT_FOUND => "NotFound",
            StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
            StatusCode::BAD_REQUEST => "BadRequest",
            StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
            StatusCode::GATEWAY_TIMEOUT => "Timeout",
            StatusCode::BAD_GATEWAY => "InternalError",
            StatusCode::NOT_IMPLEMENTED => "NotImplemented",
            _ => "ServiceUnavailable",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Busy(_) | Self::Unsure | Self::Ending).then_some(SOON)
    }

    /// The answer as a Status, which clients of upgraded connections understand.
    pub fn response(&self) -> Response<Body> {
        let code = self.code();
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.to_string(),
            "reason": self.reason(),
            "code": code.as_u16(),
        });
        self.with_body(code, "application/json", status.to_string())
    }

    /// The answer as plain text, instead of logs. An API server shows people what a kubelet says with 400, 403 and 500; for
    /// other codes it has words of its own.
    pub fn text(&self) -> Response<Body> {
        let code = match self {
            Self::NoDelegate(NoDelegate::NotYet { .. } | NoDelegate::Gone { .. }) => StatusCode::BAD_REQUEST,
            Self::NoDelegate(NoDelegate::NotConnected { .. })
            | Self::Unreachable(_)
            | Self::Silent(_)
            | Self::Lost(_)
            | Self::Ending => StatusCode::INTERNAL_SERVER_ERROR,
            _ => self.code(),
        };
        self.with_body(code, "text/plain; charset=utf-8", self.to_string())
    }

    fn with_body(&self, code: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
        let mut response = answer(code, content_type, body);
        let headers = response.headers_mut();
        match self {
            Self::Unauthenticated(_) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
            }
            _ => {}
        }
        if let Some(after) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        response
    }
}

/// An answer that is there as a whole.
pub fn answer(code: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Full::new(Bytes::from(body))));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(response: Response<Body>) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn failures_are_a_status_or_for_logs_a_sentence() {
        let failure = Failure::Silent("eu".into());
        let response = failure.response();
        assert_eq!(response.status(), 504);
        let status: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
        assert_eq!(status["message"], "the target cluster \"eu\" does not answer");
        assert_eq!((&status["kind"], &status["code"]), (&"Status".into(), &504.into()));
        assert_eq!(
            failure.text().status(),
            500,
            "API servers show the words of 500, and not those of 504"
        );
        assert_eq!(body(failure.text()).await, "the target cluster \"eu\" does not answer");
    }

    #[test]
    fn who_is_not_known_is_told_how_to_be() {
        let response = Failure::Unauthenticated("no credentials".into()).response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn a_delegate_that_may_come_is_another_thing_than_one_that_will_not() {
        let pod = || "default/x".to_owned();
        assert_eq!(Failure::from(NoDelegate::NotYet { pod: pod() }).code(), 503);
        assert_eq!(Failure::from(NoDelegate::Gone { pod: pod() }).code(), 404);
        assert_eq!(Failure::from(NoDelegate::UnknownPod { pod: pod() }).code(), 404);
    }
}
