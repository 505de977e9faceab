//! The beginning of a proxy pod's trace.

use std::time::Instant;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation};
use multicluster_api::names;
use multicluster_runtime::trace::Span;

use crate::object::Object;
use crate::review::Request;
use crate::verdict::Verdict;

/// Begin a trace with a pod that becomes a proxy pod, if traces are on, and write that into its annotations. A pod that
/// brings a trace of its own goes on with that. Changes nothing when the pod is not traced, nor at a second call.
pub fn begin(request: &Request<'_>, verdict: Verdict, began: Instant) -> Verdict {
    let Verdict::Patched(mut patch) = verdict else {
        return verdict;
    };
    let annotation = |key| PointerBuf::from_tokens(["metadata", "annotations", key]);
    let saved = annotation(names::SOURCE_POD_MANIFEST);
    let is_first = |operation: &PatchOperation| operation.path() == saved.as_ptr();
    if patch.0.iter().any(is_first) {
        let object = request.object.and_then(|object| Object::parse(object).ok());
        let given = object
            .as_ref()
            .and_then(|object| object.metadata.annotation(names::TRACEPARENT));
        let mut span = match given {
            Some(given) => Span::child("admit", Some(given), began),
            None => Span::root("admit", began),
        };
        span.set("k8s.namespace.name", &*request.namespace);
        if let Some(traceparent) = span.traceparent() {
            let value = traceparent.into();
            let path = annotation(names::TRACEPARENT);
            patch.0.push(PatchOperation::Add(AddOperation { path, value }));
        }
    }
    Verdict::Patched(patch)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use multicluster_runtime::trace::TraceArgs;
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::config::ProxyConfig;
    use crate::mutate::mutate;
    use crate::review::Kind;
    use crate::testing::Pod;

    /// The pod after admission, as the patch makes it.
    fn admit(pod: &Pod) -> serde_json::Value {
        let object = to_raw_value(&pod.0).unwrap();
        let request = Request {
            uid: Cow::Borrowed("u"),
            kind: Kind::new("", "v1", "Pod"),
            sub_resource: Cow::Borrowed(""),
            namespace: Cow::Borrowed("shop"),
            operation: Cow::Borrowed("CREATE"),
            object: Some(&object),
            old_object: None,
        };
        let verdict = mutate(&Object::parse(&object).unwrap(), "shop", &ProxyConfig::default());
        let mut admitted = pod.0.clone();
        if let Verdict::Patched(patch) = begin(&request, verdict, Instant::now()) {
            json_patch::patch(&mut admitted, &patch.0).unwrap();
        }
        admitted
    }

    fn traceparent(pod: &serde_json::Value) -> Option<&str> {
        pod["metadata"]["annotations"][names::TRACEPARENT].as_str()
    }

    #[tokio::test]
    async fn pods_are_traced_when_traces_are_on_and_once() {
        assert_eq!(traceparent(&admit(&Pod::elected())), None);
        let args = TraceArgs {
            otlp_endpoint: Some("http://127.0.0.1:1".into()),
            trace_ratio: 1.0,
        };
        args.init("test").unwrap();
        assert_eq!(traceparent(&admit(&Pod::plain())), None);
        let first = admit(&Pod::elected());
        assert!(traceparent(&first).is_some());
        assert_eq!(admit(&Pod(first.clone())), first);
        let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let joined = admit(&Pod::elected().annotation(names::TRACEPARENT, own));
        let trace = |text: &str| text.split('-').nth(1).map(str::to_owned);
        assert_eq!(traceparent(&joined).and_then(trace), trace(own));
        assert_ne!(traceparent(&joined), Some(own));
    }
}
