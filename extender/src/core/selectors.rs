//! Label selectors inside a pod's spec, rewritten for a target.
//!
//! A topology spread constraint or a pod (anti-)affinity that speaks of the pod's siblings must speak of their delegates'
//! keys: see [`multicluster_api::selectors`]. Such selectors nearly always speak of the pod's own kind, so the pod's own keys
//! count. Namespace selectors stay: namespaces keep their labels.

use multicluster_api::selectors::{Keys, Labels};
use regex::Regex;
use serde_json::{Map, Value};

/// Rewrite all label selectors of a spec, for a pod with the labels `own` whose delegate has the labels `delegate`.
pub fn rewrite(spec: &mut Map<String, Value>, own: &Labels, delegate: &Labels, no_prefix: Option<&Regex>) {
    let keys = Keys {
        own,
        delegate,
        no_prefix,
    };
    if let Some(constraints) = spec.get_mut("topologySpreadConstraints") {
        each(constraints, |constraint| term(&keys, constraint));
    }
    let Some(affinity) = spec.get_mut("affinity") else {
        return;
    };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = affinity.get_mut(kind) else {
            continue;
        };
        if let Some(required) = affinity.get_mut("requiredDuringSchedulingIgnoredDuringExecution") {
            each(required, |affinity| term(&keys, affinity));
        }
        if let Some(preferred) = affinity.get_mut("preferredDuringSchedulingIgnoredDuringExecution") {
            each(preferred, |weighted| {
                if let Some(affinity) = weighted.get_mut("podAffinityTerm") {
                    term(&keys, affinity);
                }
            });
        }
    }
}

fn each(list: &mut Value, f: impl FnMut(&mut Value)) {
    list.as_array_mut().into_iter().flatten().for_each(f);
}

fn term(keys: &Keys<'_>, term: &mut Value) {
    for list in ["matchLabelKeys", "mismatchLabelKeys"] {
        if let Some(list) = term.get_mut(list) {
            each(list, |key| replace(keys, key, &[]));
        }
    }
    let Some(selector) = term.get_mut("labelSelector") else {
        return;
    };
    if let Some(labels) = selector.get_mut("matchLabels").and_then(Value::as_object_mut) {
        let renamed = std::mem::take(labels).into_iter().map(|(key, value)| {
            let new = keys.key(&key, &[value.as_str().unwrap_or_default()]);
            (new, value)
        });
        *labels = renamed.collect();
    }
    if let Some(expressions) = selector.get_mut("matchExpressions") {
        each(expressions, |expression| {
            let values = expression["values"].clone();
            let values: Vec<_> = values
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            if let Some(key) = expression.get_mut("key") {
                replace(keys, key, &values);
            }
        });
    }
}

fn replace(keys: &Keys<'_>, key: &mut Value, values: &[&str]) {
    if let Some(old) = key.as_str() {
        *key = keys.key(old, values).into();
    }
}
