//! Paths, limits and what is answered to requests that cannot be read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::config::ProxyConfig;
use crate::metrics::{Ending, Metrics};
use crate::mutate::mutate;
use crate::object::Object;
use crate::review::{self, Kind};
use crate::trace;
use crate::validate;
use crate::verdict::{Denial, Verdict};

/// Largest review of a new object, in bytes: the API server takes no larger requests itself.
pub const MAX_CREATE_REVIEW: usize = 3 << 20;
/// Largest review where the object may come twice, as it was and as it will be. A smaller limit would keep a large
/// proxy pod from ever losing its finalizer.
pub const MAX_UPDATE_REVIEW: usize = 8 << 20;
/// Longest wait for a body.
const BODY_TIME: Duration = Duration::from_secs(10);

const POD: Kind<'static> = Kind::new("", "v1", "Pod");
const TARGET: Kind<'static> = ours("Target");
const CLUSTER_TARGET: Kind<'static> = ours("ClusterTarget");
const SOURCE: Kind<'static> = ours("Source");
const CLUSTER_SOURCE: Kind<'static> = ours("ClusterSource");
const TRUSTED_IDENTITY_PROVIDER: Kind<'static> = ours("TrustedIdentityProvider");
const KUBECONFIG: Kind<'static> = ours("Kubeconfig");

const fn ours(kind: &'static str) -> Kind<'static> {
    use multicluster_api::names::{GROUP, VERSION};
    Kind::new(GROUP, VERSION, kind)
}

/// What a path does.
#[derive(Clone, Copy)]
enum Decision {
    /// Decides about objects that are created.
    Create(fn(&Object<'_>, &str, &ProxyConfig) -> Verdict),
    /// Decides about objects that are created or changed.
    Write(fn(Option<&Object<'_>>, &Object<'_>) -> Verdict),
}

/// A path, the kind that it is for, and what it does.
#[derive(Clone, Copy)]
struct Hook {
    path: &'static str,
    kind: &'static Kind<'static>,
    decision: Decision,
}

const HOOKS: [Hook; 8] = [
    Hook {
        path: "/mutate-v1-pod",
        kind: &POD,
        decision: Decision::Create(mutate),
    },
    Hook {
        path: "/validate-v1-pod",
        kind: &POD,
        decision: Decision::Write(validate::validate_pod),
    },
    Hook {
        path: "/validate-multicluster-admiralty-io-v1alpha1-target",
        kind: &TARGET,
        decision: Decision::Write(validate::validate_target),
    },
    Hook {
        path: "/validate-multicluster-admiralty-io-v1alpha1-clustertarget",
        kind: &CLUSTER_TARGET,
        decision: Decision::Write(validate::validate_cluster_target),
    },
    Hook {
        path: "/validate-multicluster-admiralty-io-v1alpha1-source",
        kind: &SOURCE,
        decision: Decision::Write(validate::validate_source),
    },
    Hook {
        path: "/validate-multicluster-admiralty-io-v1alpha1-clustersource",
        kind: &CLUSTER_SOURCE,
        decision: Decision::Write(validate::validate_cluster_source),
    },
    Hook {
        path: "/validate-multicluster-admiralty-io-v1alpha1-trustedidentityprovider",
        kind: &TRUSTED_IDENTITY_PROVIDER,
        decision: Decision::Write(validate::validate_trusted_identity_provider),
    },
    Hook {
        path: "/validate-multicluster-admiralty-io-v1alpha1-kubeconfig",
        kind: &KUBECONFIG,
        decision: Decision::Write(validate::validate_kubeconfig),
    },
];

impl Hook {
    fn limit(&self) -> usize {
        match self.decision {
            Decision::Create(_) => MAX_CREATE_REVIEW,
            Decision::Write(_) => MAX_UPDATE_REVIEW,
        }
    }

    /// What is decided about a request. Pure.
    fn decide(&self, request: &review::Request<'_>, config: &ProxyConfig) -> Verdict {
        // Parts of an object (status, binding, eviction…) are not what is judged here.
        if !request.sub_resource.is_empty() {
            return Verdict::Allowed;
        }
        if request.kind != *self.kind {
            return Verdict::Denied(Denial::bad_request(format!(
                "{} is for {}, not for {}; correct the rules in the webhook's configuration",
                self.path, self.kind, request.kind
            )));
        }
        self.decide_object(request, config).unwrap_or_else(Verdict::Denied)
    }

    fn decide_object(&self, request: &review::Request<'_>, config: &ProxyConfig) -> Result<Verdict, Denial> {
        let absent = || Denial::bad_request("the request has no object");
        Ok(match (self.decision, &*request.operation) {
            (Decision::Create(decide), "CREATE") => {
                let object = Object::parse(request.object.ok_or_else(absent)?)?;
                decide(&object, &request.namespace, config)
            }
            (Decision::Write(decide), "CREATE") => decide(None, &Object::parse(request.object.ok_or_else(absent)?)?),
            (Decision::Write(decide), "UPDATE") => {
                let old = Object::parse(request.old_object.ok_or_else(absent)?)?;
                decide(Some(&old), &Object::parse(request.object.ok_or_else(absent)?)?)
            }
            _ => Verdict::Allowed,
        })
    }
}

#[derive(Clone)]
struct App {
    config: Arc<ProxyConfig>,
    metrics: Metrics,
}

/// All paths.
pub fn router(config: ProxyConfig, metrics: Metrics) -> Router {
    let app = App {
        config: Arc::new(config),
        metrics,
    };
    let mut router = Router::new();
    for hook in HOOKS {
        let handler = move |State(app): State<App>, request: Request| handle(hook, app, request);
        router = router.route(hook.path, post(handler).layer(DefaultBodyLimit::max(hook.limit())));
    }
    router
        .fallback(async || (StatusCode::NOT_FOUND, "no such path; see the webhook's configuration\n"))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "POST an AdmissionReview\n"))
        .with_state(app)
}

async fn handle(hook: Hook, app: App, request: Request) -> Response {
    let begin = Instant::now();
    let (ending, response) = match read(request, hook.limit()).await {
        Ok(body) => answer(hook, &app.config, &body, begin),
        Err((reason, refusal)) => (Ending::Refused { reason }, refusal),
    };
    app.metrics.observe(hook.path, ending, begin.elapsed());
    response
}

async fn read(request: Request, limit: usize) -> Result<Bytes, (&'static str, Response)> {
    if !is_json(request.headers()) {
        let message = "write content-type: application/json\n";
        return Err((
            "UnsupportedMediaType",
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response(),
        ));
    }
    // The announced length is enough to refuse; a client that waits for an answer first would wait for nothing.
    if request.body().size_hint().lower() > limit as u64 {
        let message = "the review is too large\n";
        return Err((
            "RequestEntityTooLarge",
            (StatusCode::PAYLOAD_TOO_LARGE, message).into_response(),
        ));
    }
    match tokio::time::timeout(BODY_TIME, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) => Err(("Unreadable", rejection.into_response())),
        Err(_) => {
            let message = "the body did not come in time\n";
            Err(("Timeout", (StatusCode::REQUEST_TIMEOUT, message).into_response()))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

/// Decode, decide, encode.
fn answer(hook: Hook, config: &ProxyConfig, body: &[u8], begin: Instant) -> (Ending, Response) {
    let request = match review::decode(body) {
        Ok(request) => request,
        Err(message) => {
            tracing::warn!(path = hook.path, %message, "request refused");
            return (
                Ending::Refused { reason: "BadRequest" },
                (StatusCode::BAD_REQUEST, message + "\n").into_response(),
            );
        }
    };
    let verdict = trace::begin(&request, hook.decide(&request, config), begin);
    let ending = match &verdict {
        Verdict::Allowed => Ending::Allowed,
        Verdict::Patched(_) => Ending::Patched,
        Verdict::Denied(denial) => {
            // The message quotes the object, so it is for its user alone.
            tracing::info!(
                path = hook.path, uid = %request.uid, namespace = %request.namespace, code = denial.code, "denied"
            );
            Ending::Denied { reason: denial.reason }
        }
    };
    match review::encode(&request.uid, &verdict) {
        Ok(json) => (
            ending,
            ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        ),
        Err(error) => {
            tracing::error!(path = hook.path, %error, "answer cannot be written");
            (
                Ending::Refused {
                    reason: "InternalError",
                },
                StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            )
        }
    }
}
