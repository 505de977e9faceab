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
