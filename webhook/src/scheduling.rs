//! Where a proxy pod may run: on virtual nodes, and on those that its user asks for.
//!
//! | annotation | nodeSelector, tolerations | affinity, topologySpreadConstraints |
//! |---|---|---|
//! | none | those of virtual nodes | none |
//! | use-constraints-from-spec… | the spec's and those of virtual nodes | the spec's |
//! | proxy-pod-scheduling-constraints | the annotation's and those of virtual nodes | the annotation's |
//!
//! In all three, the proxy pod tolerates a virtual node that is not ready or unreachable for as long as its user wrote,
//! or else for [`ProxyConfig::default_toleration_seconds`]. A toleration of exactly 300 seconds in the spec counts as
//! not written by the user: the API server's DefaultTolerationSeconds plugin adds that very toleration, and the two
//! cannot be told apart. Who wants 300 writes 299 or 301, or uses the annotation, which that plugin does not touch.

use multicluster_api::names;
use multicluster_api::options::{ProxyConstraints, SchedulingConstraints};
use serde_json::{Map, Value, json};

use crate::config::ProxyConfig;

const NODE_SELECTOR: &str = "nodeSelector";
const TOLERATIONS: &str = "tolerations";
const NO_EXECUTE: &str = "NoExecute";

/// The four fields of a proxy pod's spec that decide where it may run. `None`: the field must not be there.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyScheduling {
    /// `nodeSelector`.
    pub node_selector: Value,
    /// `tolerations`.
    pub tolerations: Value,
    /// `affinity`.
    pub affinity: Option<Value>,
    /// `topologySpreadConstraints`.
    pub topology_spread_constraints: Option<Value>,
}

impl ProxyScheduling {
    /// From what the annotations say and the constraints that the pod was submitted with.
    pub fn new(chosen: &ProxyConstraints, submitted: &SchedulingConstraints, config: &ProxyConfig) -> Self {
        let base = match chosen {
            ProxyConstraints::None => None,
            ProxyConstraints::FromSpec => Some(submitted),
            ProxyConstraints::Given(given) => Some(given),
        };
        let field = |name| base.and_then(|base| base.get(name)).cloned();
        let mut node_selector = match field(NODE_SELECTOR) {
            Some(Value::Object(selector)) => selector,
            _ => Map::new(),
        };
        node_selector.insert(names::PROVIDER.into(), names::PROVIDER_VALUE.into());
        Self {
            node_selector: node_selector.into(),
            tolerations: tolerations(chosen, submitted, config),
            affinity: field("affinity"),
            topology_spread_constraints: field("topologySpreadConstraints"),
        }
    }
}

fn tolerations(chosen: &ProxyConstraints, submitted: &SchedulingConstraints, config: &ProxyConfig) -> Value {
    let submitted = list(submitted);
    let mut result = match chosen {
        ProxyConstraints::None => vec![],
        // The API server's own come back below if the user wrote none.
        ProxyConstraints::FromSpec => submitted.iter().filter(|t| !is_api_default(t)).cloned().collect(),
        ProxyConstraints::Given(given) => list(given).to_vec(),
    };
    for taint in [names::NOT_READY, names::UNREACHABLE] {
        if result.iter().any(|toleration| is_about(toleration, taint)) {
            continue;
        }
        let written = submitted.iter().filter(|t| is_about(t, taint) && !is_api_default(t));
        let before = result.len();
        result.extend(written.map(|toleration| narrowed(toleration, taint)));
        if result.len() == before {
            result.push(staying(taint, config.default_toleration_seconds));
        }
    }
    for own in own_tolerations() {
        if !result.contains(&own) {
            result.push(own);
        }
    }
    result.into()
}

fn list(constraints: &SchedulingConstraints) -> &[Value] {
    constraints
        .get(TOLERATIONS)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// What every virtual node's taints ask for.
fn own_tolerations() -> [Value; 2] {
    [
        json!({"key": names::PROVIDER, "operator": "Equal", "value": names::PROVIDER_VALUE, "effect": "NoSchedule"}),
        json!({"key": names::NETWORK_UNAVAILABLE, "operator": "Exists"}),
    ]
}

/// Stay this long on a node with the taint.
fn staying(taint: &str, seconds: i64) -> Value {
    json!({"key": taint, "operator": "Exists", "effect": NO_EXECUTE, "tolerationSeconds": seconds})
}

/// Does this toleration say how long to stay on a node with the taint? Judged as the DefaultTolerationSeconds plugin
/// does: no key means all taints, no effect all effects.
fn is_about(toleration: &Value, taint: &str) -> bool {
    let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
    (key == taint || key.is_empty()) && (effect == NO_EXECUTE || effect.is_empty())
}

/// Exactly what the DefaultTolerationSeconds plugin adds.
fn is_api_default(toleration: &Value) -> bool {
    [names::NOT_READY, names::UNREACHABLE]
        .into_iter()
        .any(|taint| *toleration == staying(taint, names::API_SERVER_DEFAULT_TOLERATION_SECONDS))
}

/// A toleration of everything, made one of this taint alone: it was written with real nodes in mind, and would let the
/// proxy pod onto cordoned virtual nodes too.
fn narrowed(toleration: &Value, taint: &str) -> Value {
    if !text(toleration, "key").is_empty() {
        return toleration.clone();
    }
    let mut narrow = json!({"key": taint, "operator": "Exists", "effect": NO_EXECUTE});
    if let Some(seconds) = toleration.get("tolerationSeconds").filter(|seconds| !seconds.is_null()) {
        narrow["tolerationSeconds"] = seconds.clone();
    }
    narrow
}

fn text<'a>(toleration: &'a Value, field: &str) -> &'a str {
    toleration.get(field).and_then(Value::as_str).unwrap_or_default()
}
