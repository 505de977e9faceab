//! Spans of a pod's trace.

use std::time::Instant;

use kube::api::ObjectMeta;
use multicluster_api::names;
use multicluster_runtime::trace::Span;

/// A span in the trace of the pod with this metadata, if it is traced.
pub fn span(name: &'static str, pod: &ObjectMeta, began: Instant) -> Span {
    let annotation = |key| pod.annotations.as_ref()?.get(key);
    let traceparent = annotation(names::TRACEPARENT).map(String::as_str);
    let mut span = Span::child(name, traceparent, began);
    if span.is_traced() {
        span.set("k8s.pod.name", pod.name.clone().unwrap_or_default());
        span.set("k8s.namespace.name", pod.namespace.clone().unwrap_or_default());
    }
    span
}
