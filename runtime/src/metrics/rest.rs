//! Requests to API servers, under the names that client-go uses.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::http::{Request, Response};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tower::{Layer, Service};

/// Code of a request that no answer came to, as in client-go.
const NO_ANSWER: &str = "<error>";
/// In seconds, as client-go's, without the longest.
const BUCKETS: [f64; 11] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    code: String,
    method: String,
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    verb: String,
    host: String,
}

struct Rest {
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    hosts: Mutex<BTreeMap<String, Weak<Host>>>,
}

static REST: LazyLock<Rest> = LazyLock::new(|| Rest {
    requests: Family::default(),
    durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
    hosts: Mutex::default(),
});

pub(super) fn register(registry: &mut Registry) {
    let help = "Requests to API servers, by code (<error> where no answer came), method and host";
    registry.register("rest_client_requests", help, REST.requests.clone());
    let help = "Time until the head of an API server's answer";
    registry.register_with_unit(
        "rest_client_request_duration",
        help,
        Unit::Seconds,
        REST.durations.clone(),
    );
}

/// The series of one API server: they go with its last client, so that targets that were removed leave nothing behind.
#[derive(Debug)]
struct Host {
    name: String,
    requests: Mutex<HashSet<RequestLabels>>,
    verbs: Mutex<HashSet<String>>,
}

impl Host {
    fn of(name: &str) -> Arc<Self> {
        let mut hosts = REST.hosts.lock();
        if let Some(host) = hosts.get(name).and_then(Weak::upgrade) {
            return host;
        }
        let host = Arc::new(Self {
            name: name.into(),
            requests: Mutex::default(),
            verbs: Mutex::default(),
        });
        hosts.insert(name.into(), Arc::downgrade(&host));
        host
    }

    fn count(&self, method: &str, code: &str, began: Instant) {
        let labels = RequestLabels {
            code: code.into(),
            method: method.into(),
            host: self.name.clone(),
        };
        REST.requests.get_or_create(&labels).inc();
        self.requests.lock().insert(labels);
        let verb = DurationLabels {
            verb: method.into(),
            host: self.name.clone(),
        };
        REST.durations
            .get_or_create(&verb)
            .observe(began.elapsed().as_secs_f64());
        self.verbs.lock().insert(method.into());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A client of the same host may have been made meanwhile: its series begin anew, as after a restart.
        for labels in self.requests.lock().drain() {
            REST.requests.remove(&labels);
        }
        for verb in self.verbs.lock().drain() {
            let host = self.name.clone();
            REST.durations.remove(&DurationLabels { verb, host });
        }
        REST.hosts.lock().retain(|_, host| host.strong_count() > 0);
    }
}

/// Counts the requests of a client.
#[derive(Clone, Debug)]
pub struct Counted(Arc<Host>);

impl Counted {
    /// For a client of the API server at this host and port.
    pub fn new(host: &str) -> Self {
        Self(Host::of(host))
    }
}

impl<S> Layer<S> for Counted {
    type Service = CountedService<S>;

    fn layer(&self, inner: S) -> CountedService<S> {
        CountedService {
            inner,
            host: self.0.clone(),
        }
    }
}

/// A client's service, counted.
#[derive(Clone, Debug)]
pub struct CountedService<S> {
    inner: S,
    host: Arc<Host>,
}

impl<S, B, R> Service<Request<B>> for CountedService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut pending = Pending {
            host: self.host.clone(),
            method: request.method().to_string(),
            began: Instant::now(),
            counted: false,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            match &answer {
                Ok(answer) => pending.end(answer.status().as_str()),
                Err(_) => pending.end(NO_ANSWER),
            }
            answer
        })
    }
}

/// Counted also when its caller loses patience: that is what a server that hangs looks like.
struct Pending {
    host: Arc<Host>,
    method: String,
    began: Instant,
    counted: bool,
}

impl Pending {
    fn end(&mut self, code: &str) {
        if !std::mem::replace(&mut self.counted, true) {
            self.host.count(&self.method, code, self.began);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.end(NO_ANSWER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    async fn ask(counted: &Counted, code: u16) {
        let answer = move |_| async move {
            match code {
                0 => std::future::pending().await,
                code => Ok::<_, std::io::Error>(Response::builder().status(code).body(()).unwrap()),
            }
        };
        let mut service = counted.layer(tower::service_fn(answer));
        let answer = service.call(Request::get("/").body(()).unwrap());
        let _ = tokio::time::timeout(std::time::Duration::from_millis(10), answer).await;
    }

    #[tokio::test(start_paused = true)]
    async fn requests_count_by_code_and_leave_with_the_last_client() {
        let (one, other) = (Counted::new("eu:6443"), Counted::new("eu:6443"));
        ask(&one, 200).await;
        ask(&other, 200).await;
        ask(&other, 404).await;
        ask(&one, 0).await;
        let text = shown();
        for (code, count) in [("200", 2), ("404", 1), ("<error>", 1)] {
            let line =
                format!("rest_client_requests_total{{code=\"{code}\",method=\"GET\",host=\"eu:6443\"}} {count}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(text.contains("rest_client_request_duration_seconds_count{verb=\"GET\",host=\"eu:6443\"} 4"));
        drop(one);
        assert!(shown().contains("eu:6443"));
        drop(other);
        assert!(!shown().contains("eu:6443"), "series of a target that is gone stay");
    }
}
