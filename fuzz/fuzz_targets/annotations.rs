//! Annotations: the saved manifest, constraints in YAML, regular expressions, and the chaperon that is made of them.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use multicluster_api::labels::delegate_labels;
use multicluster_api::options::{PodOptions, ProxyConstraints, SchedulingConstraints, SourceManifest};
use multicluster_api::raw::RawPod;
use multicluster_api::{TargetRef, names};
use multicluster_extender::core::constraints::Constraints;
use multicluster_extender::core::delegate;
use multicluster_fuzz::proxy_pod;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(manifest) = SourceManifest::parse(&text) {
        // What the webhook has admitted, the extender must be able to read.
        Constraints::compile(&manifest.constraints).expect("compiles");
    }
    if let Ok(constraints) = SchedulingConstraints::from_yaml(&text) {
        let written: serde_json::Map<_, _> = ["nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"]
            .into_iter()
            .filter_map(|field| Some((field.to_owned(), constraints.get(field)?.clone())))
            .collect();
        assert_eq!(SchedulingConstraints::from_spec(&written), constraints);
        Constraints::compile(&constraints).expect("compiles");
    }
    let annotations = BTreeMap::from([
        (names::NO_PREFIX_LABEL_REGEXP.to_owned(), text.clone().into_owned()),
        (names::USE_CONSTRAINTS_FROM_SPEC.to_owned(), String::new()),
    ]);
    if let Ok(options) = PodOptions::parse(&annotations) {
        assert_eq!(options.proxy_constraints, ProxyConstraints::FromSpec);
        let labels: BTreeMap<_, _> = ["a", "b.com/a", "c.com/a", "b", "b.com/b"]
            .map(|key| (key.to_owned(), key.to_owned()))
            .into();
        assert_eq!(delegate_labels(&labels, options.no_prefix.as_ref()).len(), labels.len());
    }
    let mut pod = proxy_pod();
    pod["metadata"]["annotations"][names::SOURCE_POD_MANIFEST] = json!(text);
    let pod: RawPod = serde_json::from_value(pod).expect("a pod");
    if let Ok(chaperon) = delegate::chaperon(&pod, "source", &TargetRef::cluster("eu")) {
        let name = chaperon.metadata.name.expect("a name");
        assert!(
            name.len() <= 63
                && name
                    .bytes()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        );
        let annotations = chaperon.metadata.annotations.expect("annotations");
        assert!(!annotations.contains_key(names::SOURCE_POD_MANIFEST) && !annotations.contains_key(names::ELECT));
        assert!(!chaperon.spec.pod.contains_key("nodeName"));
    }
});
