//! Copies of ConfigMaps.

use multicluster_api::references::ROOT_CA;
use serde_json::{Map, Value};

use super::{CONTENT, NotCopied, ObjectKey, field};

pub(super) fn body(key: &ObjectKey, object: &Value) -> Result<Map<String, Value>, NotCopied> {
    if key.name == ROOT_CA {
        return Err(NotCopied::quiet(
            "OfItsCluster",
            "every cluster has its own kube-root-ca.crt",
        ));
    }
    let fields = ["data", "binaryData", "immutable"];
    Ok(fields.into_iter().map(|name| field(object, name)).collect())
}

pub(super) fn fixed(body: &Map<String, Value>) -> Vec<(&'static str, Value)> {
    let content = || Value::from_iter([body["data"].clone(), body["binaryData"].clone()]);
    let is_immutable = body["immutable"] == true;
    is_immutable.then(|| (CONTENT, content())).into_iter().collect()
}
