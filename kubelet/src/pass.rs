//! A request on its way to a delegate.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use multicluster_upstream::headers::ask_for_upgrade;
use multicluster_upstream::{SendError, Sent, Upstream};
use serde::Deserialize;

use crate::failure::Failure;
use crate::nodes::Delegate;
use crate::paths::Stream;
use crate::query::translate;

/// After so long without a first answer, the target is asked whether it is there at all.
const DOUBT: Duration = Duration::from_secs(2);
/// How long it may take to say so: both together are less than 5 s.
const PROOF: Duration = Duration::from_millis(2500);
/// Most that is read of a target's refusal.
const LONGEST_REFUSAL: usize = 64 << 10;

/// What of a header goes on to the target, beyond what asks for the upgrade: all else speaks of the caller, or to us.
const PASSED: [HeaderName; 5] = [
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
    HeaderName::from_static("x-stream-protocol-version"),
];

/// The request for the target's API server.
pub fn towards(
    delegate: &Delegate,
    stream: &Stream<'_>,
    query: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Request<Sent>, Failure> {
    let (subresource, upgrade) = match stream {
        Stream::Logs { .. } => ("log", false),
        Stream::Exec { .. } => ("exec", true),
        Stream::Attach { .. } => ("attach", true),
        Stream::PortForward => ("portforward", true),
    };
    let query = translate(stream, query)?;
    let Delegate { namespace, name, .. } = delegate;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/{subresource}?{query}");
    let path = path.trim_end_matches('?');
    let mut request = Request::new(Sent::default());
    *request.method_mut() = method.clone();
    *request.uri_mut() = Uri::try_from(path).map_err(|_| Failure::Malformed("the parameters are too long"))?;
    if upgrade {
        for name in &PASSED {
            for value in headers.get_all(name) {
                request.headers_mut().append(name, value.clone());
            }
        }
        let protocols = headers.get_all(header::UPGRADE).iter().cloned().collect();
        ask_for_upgrade(request.headers_mut(), protocols);
    }
    Ok(request)
}

/// The target's answer, once it begins. A target that says nothing is asked whether it is there: a command may take its
/// time to start, and a log may have nothing to say yet.
pub async fn send(delegate: &Delegate, request: Request<Sent>) -> Result<Response<Incoming>, Failure> {
    let target = || delegate.target.clone();
    let mut sent = std::pin::pin!(delegate.upstream.send(request));
    loop {
        tokio::select! {
            biased;
            answer = &mut sent => return answer.map_err(|error| match error {
                SendError::NotAPath => Failure::Malformed("the parameters are too long"),
                SendError::Unreachable => Failure::Unreachable(target()),
                SendError::Lost => Failure::Lost(target()),
            }),
            () = tokio::time::sleep(DOUBT) => {}
        }
        tokio::select! {
            biased;
            answer = &mut sent => return answer.map_err(|_| Failure::Lost(target())),
            alive = is_alive(&delegate.upstream) => if !alive {
                return Err(Failure::Silent(target()));
            },
        }
    }
}

/// Does it answer at all?
async fn is_alive(upstream: &Upstream) -> bool {
    let mut request = Request::new(Sent::default());
    *request.uri_mut() = Uri::from_static("/version");
    let answer = tokio::time::timeout(PROOF, upstream.send(request)).await;
    // Who may not ask was heard all the same.
    matches!(answer, Ok(Ok(_)))
}

/// What a target has answered instead of what was asked for.
pub struct Refusal {
    /// The HTTP status.
    pub code: StatusCode,
    /// The body as it came.
    pub body: Vec<u8>,
    /// The message of its Status, if it is one.
    pub message: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    kind: String,
    message: Option<String>,
}

impl Refusal {
    /// Read it.
    pub async fn of(response: Response<Incoming>) -> Self {
        let code = response.status();
        let read = tokio::time::timeout(PROOF, Limited::new(response.into_body(), LONGEST_REFUSAL).collect()).await;
        let body = match read {
            Ok(Ok(body)) => body.to_bytes().to_vec(),
            _ => vec![],
        };
        let status: Option<Status> = serde_json::from_slice(&body).ok();
        let message = status
            .filter(|status| status.kind == "Status")
            .and_then(|status| status.message);
        Self { code, body, message }
    }

    /// The target does not know our identity there, or does not let it: then it is not the caller who lacks something.
    pub fn is_ours(&self) -> bool {
        matches!(self.code, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn delegate() -> Delegate {
        let config = kube::Config::new("https://127.0.0.1:1/base".parse().unwrap());
        Delegate {
            target: "eu".into(),
            upstream: Upstream::new(&config).unwrap(),
            namespace: "shop".into(),
            name: "web-0123456789".into(),
        }
    }

    #[tokio::test]
    async fn nothing_of_the_caller_but_the_upgrade_goes_on() {
        let headers: HeaderMap = [
            ("authorization", "Bearer s3cret"),
            ("impersonate-user", "system:admin"),
            ("x-remote-user", "admin"),
            ("cookie", "c"),
            ("connection", "upgrade, x-mine"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", "v5.channel.k8s.io"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        let stream = Stream::Exec { container: "c" };
        let request = towards(&delegate(), &stream, "command=ls&output=1", &Method::GET, &headers).unwrap();
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let passed = [
            "connection",
            "sec-websocket-protocol",
            "upgrade",
            "x-stream-protocol-version",
        ];
        assert_eq!(names, passed);
        assert_eq!(request.headers()["connection"], "Upgrade");
        let path = request.uri().path_and_query().unwrap().as_str();
        assert!(
            path.starts_with("/api/v1/namespaces/shop/pods/web-0123456789/exec?container=c&"),
            "{path}"
        );
        let logs = towards(
            &delegate(),
            &Stream::Logs { container: "c" },
            "",
            &Method::GET,
            &headers,
        )
        .unwrap();
        assert!(logs.headers().is_empty());
        let forward = towards(&delegate(), &Stream::PortForward, "", &Method::POST, &headers).unwrap();
        assert_eq!(
            forward.uri().path_and_query().unwrap(),
            "/api/v1/namespaces/shop/pods/web-0123456789/portforward"
        );
    }

    #[tokio::test]
    async fn a_target_that_is_not_there_is_named() {
        let request = towards(
            &delegate(),
            &Stream::Logs { container: "c" },
            "",
            &Method::GET,
            &HeaderMap::new(),
        );
        let failure = send(&delegate(), request.unwrap()).await.unwrap_err();
        assert_eq!(failure, Failure::Unreachable("eu".into()));
    }
}
