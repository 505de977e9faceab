//! Copies of Secrets.

use multicluster_api::names;
use serde_json::{Map, Value};

use super::{CONTENT, NotCopied, field};

/// Types whose content is a credential of one cluster, and void or dangerous in another.
const OF_ITS_CLUSTER: [&str; 3] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
    names::KUBECONFIG_SECRET,
];

pub(super) fn body(object: &Value) -> Result<Map<String, Value>, NotCopied> {
    let kind = object["type"].as_str().unwrap_or_default();
    if OF_ITS_CLUSTER.contains(&kind) {
        return Err(NotCopied {
            reason: "SecretOfItsCluster",
            message: format!(
                "a Secret of type {kind} is a credential of this cluster and follows no pods; for a token of the target's \
                 own, let the pod use a projected volume with a serviceAccountToken, and for a token of this cluster a \
                 Secret of type Opaque"
            ),
            quiet: false,
        });
    }
    let fields = ["data", "immutable", "type"];
    Ok(fields.into_iter().map(|name| field(object, name)).collect())
}

pub(super) fn fixed(body: &Map<String, Value>) -> Vec<(&'static str, Value)> {
    let kind = match &body["type"] {
        Value::Null => "Opaque".into(),
        kind => kind.clone(),
    };
    let is_immutable = body["immutable"] == true;
    let content = is_immutable.then(|| (CONTENT, body["data"].clone()));
    [("type", kind)].into_iter().chain(content).collect()
}
