//! Traces of a pod's way from admission to running, for OpenTelemetry. Off unless an endpoint is given.
//!
//! The webhook begins a trace and writes its `traceparent` (W3C Trace Context) into an annotation; whoever sees the pod or
//! its chaperon adds spans to it. All spans are children of the webhook's, which makes the way flat, and needs no state.
//!
//! Spans go as OTLP/HTTP in its JSON form, which needs nothing that is not linked anyway: OpenTelemetry's own crates would
//! bring protobuf and two dozen crates for some hundred lines. Work never waits for them: when the collector is slow or
//! away, spans are dropped.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use axum::body::Body;
use axum::http::{Request, Uri, header};
use clap::Args;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Spans that wait to be sent; more are dropped.
const WAITING: usize = 4096;
/// Spans that are sent together, and how long to wait for more of them.
const BATCH: (usize, Duration) = (512, Duration::from_millis(500));
/// How long the collector may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Flags of traces.
#[derive(Args, Clone, Debug, Default)]
pub struct TraceArgs {
    /// Send traces to this OpenTelemetry collector, OTLP over HTTP, for example http://127.0.0.1:4318; none are made
    /// without it
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Which part of all pods is traced, from 0 to 1; only the webhook asks
    #[arg(long, env = "TRACE_RATIO", default_value_t = 1.0, value_parser = ratio)]
    pub trace_ratio: f64,
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio: f64 = text.parse().map_err(|_| "write a number from 0 to 1".to_owned())?;
    match (0.0..=1.0).contains(&ratio) {
        true => Ok(ratio),
        false => Err("write a number from 0 to 1".into()),
    }
}

struct Exporter {
    ratio: f64,
    spans: mpsc::Sender<Finished>,
}

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

impl TraceArgs {
    /// Send spans of this service from now on, if asked to. Must be called within a tokio runtime.
    pub fn init(&self, service: &'static str) -> anyhow::Result<()> {
        let Some(endpoint) = self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(());
        };
        ensure!(
            endpoint.starts_with("http://"),
            "--otlp-endpoint {endpoint:?}: write http://HOST:PORT, a collector beside this process or on its node"
        );
        let uri: Uri = format!("{}/v1/traces", endpoint.trim_end_matches('/')).parse()?;
        let (spans, finished) = mpsc::channel(WAITING);
        let ratio = self.trace_ratio;
        if EXPORTER.set(Exporter { ratio, spans }).is_ok() {
            tokio::spawn(export(uri, service, finished));
        }
        Ok(())
    }
}

/// Where a span belongs: W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Context {
    trace: u128,
    span: u64,
}

impl Context {
    /// Input from outside: `None` unless it is exactly version 00, sampled, and not zero.
    fn parse(text: &str) -> Option<Self> {
        let hex = |part: &str, length| {
            let digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
            (part.len() == length && part.bytes().all(digit)).then_some(())?;
            u128::from_str_radix(part, 16).ok()
        };
        let parts: Vec<_> = text.splitn(5, '-').collect();
        let [version, trace, span, flags] = parts[..] else {
            return None;
        };
        let context = Self {
            trace: hex(trace, 32)?,
            span: hex(span, 16)? as u64,
        };
        let sampled = hex(flags, 2)? & 1 == 1;
        (version == "00" && sampled && context.trace != 0 && context.span != 0).then_some(context)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

#[derive(Debug)]
struct Finished {
    name: &'static str,
    context: Context,
    parent: Option<u64>,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<(&'static str, String)>,
    error: Option<String>,
}

/// A piece of work in a trace; it ends when it is dropped. Does nothing when its pod is not traced.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Finished>>);

impl Span {
    /// Begin a trace; every so many of them, as the flags say. `began`: the work began earlier than now.
    pub fn root(name: &'static str, began: Instant) -> Self {
        let sampled = EXPORTER.get().is_some_and(|exporter| fastrand::f64() < exporter.ratio);
        match sampled {
            true => Self::new(name, fastrand::u128(1..), None, began),
            false => Self(None),
        }
    }

    /// Go on with the trace of this `traceparent`, if there is one.
    pub fn child(name: &'static str, traceparent: Option<&str>, began: Instant) -> Self {
        let parent = EXPORTER.get().and(traceparent).and_then(Context::parse);
        parent.map_or(Self(None), |parent| {
            Self::new(name, parent.trace, Some(parent.span), began)
        })
    }

    fn new(name: &'static str, trace: u128, parent: Option<u64>, began: Instant) -> Self {
        let now = SystemTime::now();
        let context = Context {
            trace,
            span: fastrand::u64(1..),
        };
        Self(Some(Box::new(Finished {
            name,
            context,
            parent,
            start: now.checked_sub(began.elapsed()).unwrap_or(now),
            end: now,
            attributes: vec![],
            error: None,
        })))
    }

    /// Is it part of a trace?
    pub fn is_traced(&self) -> bool {
        self.0.is_some()
    }

    /// For the annotation that carries the trace on.
    pub fn traceparent(&self) -> Option<String> {
        self.0.as_ref().map(|span| span.context.to_string())
    }

    /// Tell something of the work.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>) {
        if let Some(span) = &mut self.0 {
            span.attributes.push((key, value.into()));
        }
    }

    /// The work has failed.
    pub fn fail(&mut self, error: &impl fmt::Display) {
        if let Some(span) = &mut self.0 {
            span.error = Some(error.to_string());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let (Some(mut span), Some(exporter)) = (self.0.take(), EXPORTER.get()) {
            span.end = SystemTime::now();
            // The collector is slow or away: work does not wait for it.
            let _ = exporter.spans.try_send(*span);
        }
    }
}

async fn export(uri: Uri, service: &'static str, mut finished: mpsc::Receiver<Finished>) {
    let client: Client<HttpConnector, Body> = Client::builder(TokioExecutor::new()).build_http();
    let mut batch = Vec::with_capacity(BATCH.0);
    let mut failing = false;
    while finished.recv_many(&mut batch, BATCH.0).await > 0 {
        let result = send(&client, &uri, request(service, &batch)).await;
        if let Err(error) = &result
            && !failing
        {
            tracing::warn!(%uri, error, "spans cannot be sent, and are dropped");
        }
        failing = result.is_err();
        if batch.len() < BATCH.0 {
            tokio::time::sleep(BATCH.1).await;
        }
        batch.clear();
    }
}

async fn send(client: &Client<HttpConnector, Body>, uri: &Uri, spans: Value) -> Result<(), String> {
    let request = Request::post(uri.clone())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(spans.to_string()))
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(ANSWER, client.request(request)).await {
        Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
        Ok(Ok(answer)) => Err(answer.status().to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {ANSWER:?}")),
    }
}

/// An ExportTraceServiceRequest in the JSON form of OTLP: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>.
fn request(service: &str, spans: &[Finished]) -> Value {
    let attribute = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let nanos = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_nanos().to_string()
    };
    let spans = spans.iter().map(|span| {
        let attributes = span.attributes.iter().map(|(key, value)| attribute(key, value));
        json!({
            "traceId": format!("{:032x}", span.context.trace),
            "spanId": format!("{:016x}", span.context.span),
            "parentSpanId": span.parent.map(|parent| format!("{parent:016x}")).unwrap_or_default(),
            "name": span.name,
            "kind": 1,
            "startTimeUnixNano": nanos(span.start),
            "endTimeUnixNano": nanos(span.end),
            "attributes": attributes.collect::<Vec<_>>(),
            "status": match &span.error {
                Some(error) => json!({ "code": 2, "message": error }),
                None => json!({}),
            },
        })
    });
    let resource = json!({ "attributes": [
        attribute("service.name", service),
        attribute("service.version", crate::metrics::VERSION),
    ]});
    let scope = json!({ "scope": { "name": "multicluster" }, "spans": spans.collect::<Vec<_>>() });
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [scope] }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_taken_exactly() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(Context::parse(text).unwrap().to_string(), text);
        for other in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(Context::parse(other), None, "{other}");
        }
    }

    #[test]
    fn nothing_is_traced_unless_asked_for() {
        let began = Instant::now();
        assert!(!Span::root("work", began).is_traced());
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(!Span::child("work", Some(text), began).is_traced());
        assert_eq!(Span::root("work", began).traceparent(), None);
    }

    #[test]
    fn spans_are_written_as_otlp_has_them() {
        let span = Finished {
            name: "bind",
            context: Context { trace: 1, span: 2 },
            parent: Some(3),
            start: UNIX_EPOCH + Duration::from_nanos(5),
            end: UNIX_EPOCH + Duration::from_nanos(7),
            attributes: vec![("k8s.pod.name", "web".into())],
            error: Some("no room".into()),
        };
        let request = request("multicluster-extender", &[span]);
        let span = &request["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "00000000000000000000000000000001");
        assert_eq!(
            (&span["spanId"], &span["parentSpanId"]),
            (&json!("0000000000000002"), &json!("0000000000000003"))
        );
        assert_eq!(
            (&span["startTimeUnixNano"], &span["endTimeUnixNano"]),
            (&json!("5"), &json!("7"))
        );
        assert_eq!(span["status"], json!({ "code": 2, "message": "no room" }));
    }
}
