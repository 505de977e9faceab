//! Copies of Services.

use std::collections::BTreeMap;

use multicluster_api::names;
use multicluster_api::selectors::{rewritten, write_original};
use serde_json::{Map, Value, json};

use super::{Context, NotCopied, without_nulls};
use crate::source::following::facts::{Labels, ServiceFacts};

/// What the target chooses.
///
/// * Cluster IPs and node ports are free in one cluster and taken in the other.
/// * External IPs and the load balancer's IP are addresses of the source's network. In a target they would catch traffic
///   that is not theirs (CVE-2020-8554), and many clusters refuse a Service that has any.
const OF_THE_TARGET: [&str; 6] = [
    "clusterIP",
    "clusterIPs",
    "healthCheckNodePort",
    "externalIPs",
    "externalName",
    "loadBalancerIP",
];

pub(super) fn body(
    service: &Value,
    context: &Context<'_>,
    annotations: &mut BTreeMap<String, String>,
) -> Result<Map<String, Value>, NotCopied> {
    let Some(facts) = ServiceFacts::of(service) else {
        let message = "a Service without a selector, or of type ExternalName, selects no pods that it could follow";
        return Err(NotCopied::quiet("SelectsNoPods", message));
    };
    let selector = match context.selector {
        Some(selector) => selector.clone(),
        None => rewritten(&facts.selector, std::iter::empty()).unwrap_or_default(),
    };
    annotations.insert(names::ORIGINAL_SELECTOR.into(), write_original(&facts.selector));
    annotations.insert(names::GLOBAL.into(), "true".into());
    // A user who wants a Service of one cluster says so.
    annotations.entry(names::CILIUM_GLOBAL.into()).or_insert("true".into());
    Ok([("spec".to_owned(), spec(&service["spec"], &selector))]
        .into_iter()
        .collect())
}

fn spec(source: &Value, selector: &Labels) -> Value {
    let mut spec = without_nulls(source);
    OF_THE_TARGET.iter().for_each(|field| drop(spec.remove(*field)));
    if source["clusterIP"] == "None" {
        spec.insert("clusterIP".into(), "None".into());
    }
    // The API server fills in the families of the cluster. One family says nothing about what the user wants, and "prefer"
    // is met by whatever a cluster has; who requires both has them in an order.
    if source["ipFamilyPolicy"] != "RequireDualStack" {
        spec.remove("ipFamilies");
    }
    // Under our prefix it means that nobody in the source serves it.
    if source["loadBalancerClass"].as_str().is_some_and(names::is_ours) {
        spec.remove("loadBalancerClass");
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        port.remove("nodePort");
    }
    spec.insert("selector".into(), json!(selector));
    Value::Object(spec)
}

/// A Service cannot become headless or stop to be, and its load balancer cannot change hands.
pub(super) fn fixed(body: &Map<String, Value>) -> Vec<(&'static str, Value)> {
    let spec = &body["spec"];
    let class = (spec["type"] == "LoadBalancer").then(|| ("loadBalancerClass", spec["loadBalancerClass"].clone()));
    [("clusterIP", spec["clusterIP"].clone())]
        .into_iter()
        .chain(class)
        .collect()
}
