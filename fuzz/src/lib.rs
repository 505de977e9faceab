//! What the fuzz targets share: documents, and how bytes become changes of them.
//!
//! Bytes that begin with a control character are edits of a valid document: few random bytes are JSON, and fewer still a
//! pod. All others are taken as they are.

use serde_json::{Value, json};

/// In the valid documents, where no answer may quote it.
pub const SECRET: &str = "s3cret-0f-the-user";

/// What comes in.
pub enum Input<'a> {
    /// As it is.
    Raw(&'a [u8]),
    /// The document, edited.
    Edited(Value),
}

impl<'a> Input<'a> {
    /// Bytes, or a document edited by them.
    pub fn of(data: &'a [u8], document: &Value) -> Self {
        match data.split_first() {
            Some((first, edits)) if *first < b' ' && !b"\t\n\r".contains(first) => {
                Self::Edited(edited(document.clone(), edits))
            }
            _ => Self::Raw(data),
        }
    }

    /// What goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.to_vec(),
            Self::Edited(document) => document.to_string().into_bytes(),
        }
    }

    /// An edited document has its secrets where they belong.
    pub fn is_edited(&self) -> bool {
        matches!(self, Self::Edited(_))
    }
}

/// Apply edits: each is a walk into the document (a step a byte), and what to do there.
fn edited(mut document: Value, edits: &[u8]) -> Value {
    for edit in edits.chunks(8) {
        let (Some(action), steps) = (edit.first(), &edit[1..]) else {
            continue;
        };
        let mut place = &mut document;
        for step in steps.iter().take_while(|step| **step != 0) {
            let into = match &*place {
                Value::Object(map) => !map.is_empty(),
                Value::Array(list) => !list.is_empty(),
                _ => false,
            };
            if !into {
                break;
            }
            place = match place {
                Value::Object(map) => {
                    let index = usize::from(*step) % map.len();
                    map.values_mut().nth(index).expect("in range")
                }
                Value::Array(list) => {
                    let index = usize::from(*step) % list.len();
                    &mut list[index]
                }
                _ => unreachable!(),
            };
        }
        let value = leaf(steps.iter().fold(0, |sum: usize, step| sum + usize::from(*step)));
        match (action % 4, place) {
            (0, place) => *place = value,
            (1, Value::Object(map)) => {
                let key = map.keys().nth(usize::from(*action / 4) % map.len().max(1)).cloned();
                key.map(|key| map.remove(&key));
            }
            (1, Value::Array(list)) => drop(list.pop()),
            (2, Value::Object(map)) => drop(map.insert(KEYS[usize::from(*action / 4) % KEYS.len()].into(), value)),
            (2, Value::Array(list)) => list.push(value),
            (3, Value::String(text)) => text.push_str(TEXTS[usize::from(*action / 4) % TEXTS.len()]),
            (_, place) => *place = value,
        }
    }
    document
}

const KEYS: &[&str] = &[
    "annotations",
    "labels",
    "finalizers",
    "tolerations",
    "nodeSelector",
    "nodeName",
    "affinity",
    "key",
    "name",
    "cpu",
    "pods",
    "memory",
    "example.com/gpu",
    "requests",
    "overhead",
    "resources",
    "restartPolicy",
    "initContainers",
    "kubernetes.io/hostname",
    "multicluster.admiralty.io/elect",
    "multicluster.admiralty.io/sourcepod-manifest",
    "multicluster.admiralty.io/no-prefix-label-regexp",
    "multicluster.admiralty.io/no-reservation",
    "multicluster.admiralty.io/proxy-pod-scheduling-constraints",
    "multicluster.admiralty.io/has-finalizer",
    "multicluster.admiralty.io/use-constraints-from-spec-for-proxy-pod-scheduling",
    "deletionTimestamp",
    "uid",
    "exec",
    "tokenFile",
    "client-key",
    "client-certificate",
    "certificate-authority",
    "auth-provider",
];

const TEXTS: &[&str] = &[
    "",
    "-1",
    "1e999999",
    "9223372036854775807Ei",
    "9223372036854775807",
    "-9223372036854775808",
    "0.5",
    "1e60",
    "1n",
    "\0",
    "\u{fffd}",
    ".*",
    "(((a{99}){99}){99})",
    "{tolerations: [{operator: Exists}]}",
    "&a [*a, *a]",
    "spec: {}",
    "admiralty-synthetic0",
    "http://",
    "/etc/passwd",
    "2030-01-01T00:00:00Z",
    "Always",
    "True",
    "CREATE",
    "UPDATE",
];

fn leaf(number: usize) -> Value {
    match number % (TEXTS.len() + 12) {
        0 => Value::Null,
        1 => true.into(),
        2 => 0.into(),
        3 => (-1).into(),
        4 => i64::MAX.into(),
        5 => i64::MIN.into(),
        6 => u64::MAX.into(),
        7 => 1e300.into(),
        8 => json!([]),
        9 => json!({}),
        10 => json!([{}, null, ""]),
        11 => (0..100).fold(json!({}), |inner, _| json!({ "a": inner })),
        text => TEXTS[text - 12].into(),
    }
}

/// An elected pod, as a user submits it.
pub fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web", "namespace": "default", "uid": "u", "labels": {"app": "web", "example.com/app": "web"},
            "annotations": {
                "multicluster.admiralty.io/elect": "",
                "multicluster.admiralty.io/proxy-pod-scheduling-constraints": "nodeSelector: {region: eu}",
                "multicluster.admiralty.io/no-prefix-label-regexp": "^app=",
            },
            "finalizers": ["example.com/hold"],
        },
        "spec": {
            "containers": [{
                "name": "web", "image": "nginx", "env": [{"name": "PASSWORD", "value": SECRET}],
                "resources": {"requests": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "1"}},
            }],
            "initContainers": [{"name": "init", "image": "i", "restartPolicy": "Always"}],
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 3}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
                    {"key": "generation", "operator": "Gt", "values": ["3"]}],
                 "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n"]}]}]}}},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "web"}}}],
            "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30,
            "overhead": {"cpu": "100m"}, "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
        },
    })
}

/// The same pod, as the webhook has left it.
pub fn proxy_pod() -> Value {
    let mut pod = pod();
    let manifest = json!({"spec": pod["spec"].clone()}).to_string();
    pod["metadata"]["annotations"]["multicluster.admiralty.io/sourcepod-manifest"] = manifest.into();
    pod["metadata"]["labels"]["multicluster.admiralty.io/has-finalizer"] = "true".into();
    pod
}

/// A chaperon, as a source creates it and a target fills it in.
pub fn chaperon() -> Value {
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "PodChaperon",
        "metadata": {
            "name": "web-0123456789", "namespace": "default", "uid": "c", "resourceVersion": "7",
            "labels": {"multicluster.admiralty.io/parent-uid": "u", "multicluster.admiralty.io/parent-cluster-name": "s"},
            "annotations": {"multicluster.admiralty.io/parent-name": "web", "multicluster.admiralty.io/is-delegate": "",
                "multicluster.admiralty.io/virtual-node": "admiralty-synthetic0"},
        },
        "spec": pod()["spec"],
        "status": {
            "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "message": "m",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "ready": true, "restartCount": 1, "image": "i", "imageID": "",
                "state": {"waiting": {"reason": "r", "message": "m"}}}],
            "delegate": {"uid": "d", "nodeName": "n1", "boundResourceVersion": "8",
                "annotations": {"cni.example.com/ip": "10.0.0.1"}},
        },
    })
}
