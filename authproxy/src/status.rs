//! Answers of our own, in the form that the API server's failures have.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use multicluster_trust::Denied;
use multicluster_upstream::SendError;
use serde_json::json;

use crate::flights::Flight;

/// A response's body.
pub type Body = multicluster_upstream::Body<Flight>;

/// When to try again after a failure that passes by itself.
const SOON: Duration = Duration::from_secs(1);

/// Why a request is answered here and not by the API server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It is not known who calls, or they may not.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// A header that only a proxy may write.
    #[error("the header {0} is written by the proxy: leave it out")]
    Header(String),
    /// Something that is not passed on, or could be read in two ways.
    #[error("{0}")]
    Malformed(&'static str),
    /// A method that is not passed on.
    #[error("the method {0} is not passed on")]
    Method(String),
    /// Too much at a time.
    #[error("too many requests at a time: try again")]
    Busy,
    /// Nobody has said lately whom to trust.
    #[error("the proxy has lost the API server, and does not know whom to trust: try again")]
    Unknowing,
    /// It is not known yet by what keys an issuer signs.
    #[error("the keys of the token's issuer are not known here yet: try again")]
    NoKeys,
    /// The API server cannot be reached, or has said nothing to a request that does no harm twice.
    #[error("the API server cannot be reached: try again")]
    Unreachable,
    /// The API server has hung up, and may have done what it was asked to.
    #[error("the API server has hung up without an answer; the request may have been carried out")]
    Lost,
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotAPath => Self::Malformed("not a path"),
            SendError::Unreachable => Self::Unreachable,
            SendError::Lost => Self::Lost,
        }
    }
}

impl Failure {
    /// The HTTP status.
    pub fn code(&self) -> StatusCode {
        match self {
            Self::Denied(denied) => StatusCode::from_u16(denied.status()).unwrap_or(StatusCode::UNAUTHORIZED),
            Self::Header(_) => StatusCode::FORBIDDEN,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknowing | Self::NoKeys | Self::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Lost => StatusCode::BAD_GATEWAY,
        }
    }

    /// One word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.reason(),
            Self::Header(_) => "RefusedHeader",
            Self::Malformed(_) => "Malformed",
            Self::Method(_) => "RefusedMethod",
            Self::Busy => "TooManyRequests",
            Self::Unknowing => "TrustUnknown",
            Self::NoKeys => "KeysUnknown",
            Self::Unreachable | Self::Lost => "ApiServerUnreachable",
        }
    }

    /// Kubernetes' word for the status.
    fn status_reason(&self) -> &'static str {
        match self.code() {
            StatusCode::UNAUTHORIZED => "Unauthorized",
            StatusCode::FORBIDDEN => "Forbidden",
            StatusCode::BAD_REQUEST => "BadRequest",
            StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
            StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
            _ => "ServiceUnavailable",
        }
    }

    /// Clients of Kubernetes try again by themselves when they are told when. Not where the first attempt may have done
    /// something.
    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Busy | Self::Unknowing | Self::NoKeys | Self::Unreachable).then_some(SOON)
    }

    /// The answer.
    pub fn response(&self) -> Response<Body> {
        let code = self.code();
        let retry = self.retry_after().map(|after| after.as_secs());
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.to_string(),
            "reason": self.status_reason(),
            "code": code.as_u16(),
        });
        if let Some(seconds) = retry {
            status["details"] = json!({ "retryAfterSeconds": seconds });
        }
        let mut response = Response::new(Body::Whole(Full::new(Bytes::from(status.to_string()))));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if let Some(seconds) = retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn failures_look_like_those_of_an_api_server() {
        let response = Failure::Denied(Denied::NoCredentials).response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status["kind"], "Status");
        assert_eq!(
            (&status["reason"], &status["code"]),
            (&"Unauthorized".into(), &401.into())
        );
    }

    #[test]
    fn clients_are_told_to_try_again_only_where_that_does_no_harm() {
        assert_eq!(Failure::Unreachable.response().headers()[RETRY_AFTER], "1");
        assert_eq!(Failure::Unknowing.response().headers()[RETRY_AFTER], "1");
        assert_eq!(Failure::Busy.response().headers()[RETRY_AFTER], "1");
        assert!(!Failure::Lost.response().headers().contains_key(RETRY_AFTER));
    }
}
