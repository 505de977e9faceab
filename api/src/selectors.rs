//! How label selectors change on the way to a target.
//!
//! Delegates carry other label keys than their proxy pods: see [`labels`](crate::labels). What selects pods in the source
//! must speak of their delegates' keys in the target, or it would match nothing there. A key that the pod itself has
//! becomes what it became on the delegate; any other key becomes what it would become on a pod that has no colliding keys.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use serde_json::Value;

use crate::labels::{colliding_key, delegate_key, delegate_labels, name_part};
use crate::names;
use crate::options::{compile_regexp, parse_yaml};

/// Labels, or an equality selector.
pub type Labels = BTreeMap<String, String>;

/// A pod's keys, there and here.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Labels of the proxy pod.
    pub own: &'a Labels,
    /// Labels of its delegate.
    pub delegate: &'a Labels,
    /// Labels that match, as `key=value`, keep their key.
    pub no_prefix: Option<&'a Regex>,
}

impl Keys<'_> {
    /// The key on delegates, of a label that is to have one of these values.
    pub fn key(&self, key: &str, values: &[&str]) -> String {
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
        let own = self.own.get(key);
        match own.is_some() && self.delegate.get(&colliding) == own {
            true => colliding,
            false => delegate_key(key),
        }
    }
}

/// Selected pods carry a label under different keys on their delegates: no one selector finds them all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the delegates of the selected pods carry label {key} under different keys ({first}, {second}); give all of them the \
     same annotation {annotation}, and the same labels whose keys end in {ending}",
    annotation = names::NO_PREFIX_LABEL_REGEXP,
    ending = name_part(key),
)]
pub struct Disagree {
    /// The key in the selector.
    pub key: String,
    /// What it is on some of the delegates.
    pub first: String,
    /// What it is on others.
    pub second: String,
}

/// An original selector as it is found on delegates. `pods`: labels and no-prefix regexp of the pods that it selects. When
/// there are none, for a pod that has exactly the selector's labels.
pub fn rewritten<'a>(
    selector: &Labels,
    pods: impl Iterator<Item = (&'a Labels, Option<&'a str>)>,
) -> Result<Labels, Disagree> {
    let mut pods = pods.peekable();
    if pods.peek().is_none() {
        let delegate = delegate_labels(selector, None);
        let keys = Keys {
            own: selector,
            delegate: &delegate,
            no_prefix: None,
        };
        let pairs = selector.iter();
        return Ok(pairs
            .map(|(key, value)| (keys.key(key, &[value]), value.clone()))
            .collect());
    }
    let mut found: BTreeMap<&String, String> = BTreeMap::new();
    let mut regexps = HashMap::new();
    for (labels, no_prefix) in pods {
        // A pod whose regexp is none has no delegate: the webhook and the extender refuse it.
        let no_prefix = no_prefix.and_then(|text| {
            let compiled = regexps.entry(text).or_insert_with(|| compile_regexp(text).ok());
            compiled.as_ref()
        });
        let delegate = match collide(labels) {
            true => delegate_labels(labels, no_prefix),
            // Then no key is a hashed one, which is all that the delegate's labels are asked for.
            false => Labels::new(),
        };
        let keys = Keys {
            own: labels,
            delegate: &delegate,
            no_prefix,
        };
        for (key, value) in selector {
            let new = keys.key(key, &[value]);
            match found.get(key) {
                Some(first) if *first != new => {
                    return Err(Disagree {
                        key: key.clone(),
                        first: first.clone(),
                        second: new,
                    });
                }
                Some(_) => {}
                None => drop(found.insert(key, new)),
            }
        }
    }
    let value = |(key, new): (&String, String)| (new, selector[key].clone());
    Ok(found.into_iter().map(value).collect())
}

/// Do any two keys end in the same name?
fn collide(labels: &Labels) -> bool {
    let mut parts: Vec<&str> = labels.keys().map(|key| name_part(key)).collect();
    parts.sort_unstable();
    parts.windows(2).any(|pair| pair[0] == pair[1])
}

/// The selector as the user wrote it, from a Service's selector and its annotation
/// [`ORIGINAL_SELECTOR`](crate::names::ORIGINAL_SELECTOR), if it has one.
///
/// While the selector has the annotation's keys in their rewritten form it is read back. Otherwise the user has changed it,
/// and the keys that are not ours are the new one: `kubectl apply` adds all keys of a manifest beside ours, since it misses
/// them.
pub fn original(selector: &Labels, annotation: Option<&str>) -> Labels {
    let Some(known) = annotation.and_then(parse_original) else {
        return selector.clone();
    };
    if read_back(selector, &known, |value, was| value == was).as_ref() == Some(&known) {
        return known;
    }
    let (ours, plain): (Labels, Labels) = selector.clone().into_iter().partition(|(key, _)| names::is_ours(key));
    let is_whole = |read: &Labels| read.len() == known.len() || plain.is_empty();
    match read_back(selector, &known, |_, _| true).filter(is_whole) {
        Some(edited) => edited,
        None if plain.is_empty() => ours,
        None => plain,
    }
}

/// The selector with the keys that it had before it was rewritten; `None` if it has others than those. Only one of several
/// keys with one name can have the short form, so the other forms are looked for first.
fn read_back(selector: &Labels, known: &Labels, is_same: impl Fn(&str, &str) -> bool) -> Option<Labels> {
    let mut rest = selector.clone();
    let mut read = Labels::new();
    for (key, was) in known {
        let forms = [key.clone(), colliding_key(key), delegate_key(key)];
        let found = forms
            .iter()
            .find(|form| rest.get(*form).is_some_and(|value| is_same(value, was)));
        if let Some(value) = found.and_then(|form| rest.remove(form)) {
            read.insert(key.clone(), value);
        }
    }
    rest.is_empty().then_some(read)
}

/// The annotation's value: a JSON or YAML mapping, or `k=v,k2=v2`. `None` when it is neither.
pub fn parse_original(text: &str) -> Option<Labels> {
    let mapping = match parse_yaml(text) {
        Ok(Value::Object(mapping)) => Some(mapping),
        _ => None,
    };
    let labels: Labels = match mapping {
        Some(mapping) => {
            let pair = |(key, value): (String, Value)| Some((key, value.as_str()?.to_owned()));
            mapping.into_iter().map(pair).collect::<Option<_>>()?
        }
        None => {
            let pair = |pair: &str| {
                pair.split_once('=')
                    .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            };
            text.split(',').map(pair).collect::<Option<_>>()?
        }
    };
    let valid = |(key, value): (&String, &String)| {
        crate::syntax::is_qualified_name(key) && crate::syntax::is_label_value(value)
    };
    (!labels.is_empty() && labels.iter().all(valid)).then_some(labels)
}

/// The annotation's value, for [`parse_original`].
pub fn write_original(selector: &Labels) -> String {
    let pairs = selector
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    Value::Object(pairs.collect()).to_string()
}

#[cfg(test)]
mod tests;
