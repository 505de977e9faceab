//! Label selectors inside a pod's spec, rewritten for a target.
//!
//! Delegates carry other label keys than their proxy pods. A topology spread constraint or a pod (anti-)affinity that
//! speaks of the pod's siblings must speak of their delegates' keys in the target, or it would match nothing there.
//! A key that the pod itself has becomes what it became on the delegate, since such selectors nearly always speak of the
//! pod's own kind; any other key becomes what it would become on a pod that has no colliding keys. Namespace selectors
//! stay: namespaces keep their labels.

use std::collections::BTreeMap;

use multicluster_api::labels::{colliding_key, delegate_key};
use multicluster_api::names;
use regex::Regex;
use serde_json::{Map, Value};

type Labels = BTreeMap<String, String>;

struct Keys<'a> {
    own: &'a Labels,
    delegate: &'a Labels,
    no_prefix: Option<&'a Regex>,
}

/// Rewrite all label selectors of a spec, for a pod with the labels `own` whose delegate has the labels `delegate`.
pub fn rewrite(spec: &mut Map<String, Value>, own: &Labels, delegate: &Labels, no_prefix: Option<&Regex>) {
    let keys = Keys {
        own,
        delegate,
        no_prefix,
    };
    if let Some(constraints) = spec.get_mut("topologySpreadConstraints") {
        each(constraints, |constraint| keys.term(constraint));
    }
    let Some(affinity) = spec.get_mut("affinity") else {
        return;
    };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = affinity.get_mut(kind) else {
            continue;
        };
        if let Some(required) = affinity.get_mut("requiredDuringSchedulingIgnoredDuringExecution") {
            each(required, |term| keys.term(term));
        }
        if let Some(preferred) = affinity.get_mut("preferredDuringSchedulingIgnoredDuringExecution") {
            each(preferred, |weighted| {
                if let Some(term) = weighted.get_mut("podAffinityTerm") {
                    keys.term(term);
                }
            });
        }
    }
}

fn each(list: &mut Value, f: impl FnMut(&mut Value)) {
    list.as_array_mut().into_iter().flatten().for_each(f);
}

impl Keys<'_> {
    fn term(&self, term: &mut Value) {
        for list in ["matchLabelKeys", "mismatchLabelKeys"] {
            if let Some(list) = term.get_mut(list) {
                each(list, |key| self.replace(key, &[]));
            }
        }
        let Some(selector) = term.get_mut("labelSelector") else {
            return;
        };
        if let Some(labels) = selector.get_mut("matchLabels").and_then(Value::as_object_mut) {
            let renamed = std::mem::take(labels).into_iter().map(|(key, value)| {
                let new = self.key(&key, &[value.as_str().unwrap_or_default()]);
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
                    self.replace(key, &values);
                }
            });
        }
    }

    fn replace(&self, key: &mut Value, values: &[&str]) {
        if let Some(old) = key.as_str() {
            *key = self.key(old, values).into();
        }
    }

    /// The key on delegates, of a label that is to have one of these values.
    fn key(&self, key: &str, values: &[&str]) -> String {
        let keeps = |value: &str| {
            self.no_prefix
                .is_some_and(|regexp| regexp.is_match(&format!("{key}={value}")))
        };
        let kept = match self.own.get(key) {
            Some(own) => keeps(own),
            None => values.iter().any(|value| keeps(value)),
        };
        if kept || names::is_ours(key) {
            return key.to_owned();
        }
        let colliding = colliding_key(key);
        match self.own.contains_key(key) && self.delegate.contains_key(&colliding) {
            true => colliding,
            false => delegate_key(key),
        }
    }
}
